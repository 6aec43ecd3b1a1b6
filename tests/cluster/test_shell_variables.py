"""What reaches a job openly, what in a private file, and how long that file stays."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardm import secrecy
from ardm.cluster import access, shell_variables

pytestmark = pytest.mark.slow


SECRET = {
    "AWS_SECRET_ACCESS_KEY": "a",
    "AWS_PROFILE": "b",
    "FSSPEC_S3_SECRET": "c",
    "GOOGLE_AUTH_TOKEN_FOR_TESTING": "d",
    "STORAGE_EMULATOR_HOST": "http://user:password@host:1",
    "ARDM_STORE": "gs://bucket/runs",
}
OPEN = {"JAX_PLATFORMS": "cpu", "TENSORSTORE_GCS_HTTP_URL": "http://127.0.0.1:1"}
NOBODY_S = {"HOME": "/", "HF_TOKEN": "e", shell_variables.FILE: "/of/another/job"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARDM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_only_what_is_on_the_allow_list_and_holds_no_user_is_seen() -> None:
    shell = SECRET | OPEN | NOBODY_S
    assert shell_variables.visible(shell) == OPEN
    assert shell_variables.private(shell) == SECRET


@given(
    st.dictionaries(st.from_regex(r"(ARDM|AWS|JAX|XLA|GOOGLE)_[A-Z]+", fullmatch=True), st.text())
)
def test_every_variable_travels_one_way_or_the_other(shell: dict[str, str]) -> None:
    visible, private = shell_variables.visible(shell), shell_variables.private(shell)
    assert visible | private == {n: v for n, v in shell.items() if n != shell_variables.FILE}
    assert not visible.keys() & private.keys()
    assert visible.keys() <= shell_variables.VISIBLE


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("s3://key:secret@bucket", True),
        ("sftp://me@host/runs", True),
        ("gs://bucket/a@b", False),
        ("/home/a@b/runs", False),
    ],
)
def test_a_user_in_a_url_is_seen(url: str, *, holds: bool) -> None:
    assert secrecy.has_credentials(url) == holds


def test_the_file_is_its_owner_s_alone_even_where_all_files_are_open(home: Path) -> None:
    mask = os.umask(0)
    try:
        file = shell_variables.write("run-1", SECRET)
    finally:
        os.umask(mask)
    assert file.parent == home / "environments"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_folder_that_stood_open_is_closed(home: Path) -> None:
    (home / "environments").mkdir(parents=True, mode=0o755)
    shell_variables.write("run-1", SECRET)
    assert stat.S_IMODE((home / "environments").stat().st_mode) == 0o700


def test_a_process_has_the_variables_before_fsspec_reads_them(home: Path) -> None:
    file = shell_variables.write("run-1", {"FSSPEC_S3_SECRET": "c", "JAX_PLATFORMS": "cpu"})
    code = (
        "import ardm.cluster.driver, fsspec.config, os;"
        "print(fsspec.config.conf['s3'], os.environ['JAX_PLATFORMS'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {shell_variables.FILE: str(file), "JAX_PLATFORMS": "other"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[0] == "{'secret': 'c'} cpu"


@pytest.mark.parametrize("text", [None, "", '{"A": ', "[1]"])
def test_a_file_that_is_gone_or_torn_is_one_warning(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "run-1.json"
    if text is not None:
        file.write_text(text)
    environ = {shell_variables.FILE: str(file)}
    shell_variables.load(environ)
    assert environ == {shell_variables.FILE: str(file)}
    assert str(file) in caplog.text


def test_only_old_files_that_no_driver_holds_are_swept(home: Path) -> None:
    held, left = shell_variables.write("held-1", {}), shell_variables.write("left-1", {})
    code = (
        "from ardm.cluster import shell_variables; "
        "shell_variables.hold(); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {shell_variables.FILE: str(held)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        assert driver.stdout
        assert driver.stdout.readline() == "held\n"
        shell_variables.sweep(left.stat().st_mtime + shell_variables.SWEEP_AFTER - 1)
        assert held.exists()
        assert left.exists()
        later = left.stat().st_mtime + shell_variables.SWEEP_AFTER + 1
        shell_variables.sweep(later)
        assert held.exists()
        assert not left.exists()
        driver.kill()
    shell_variables.sweep(later)
    assert not held.exists()


def test_the_end_of_a_job_removes_its_file(home: Path) -> None:
    file = shell_variables.write("run-1", SECRET)
    assert json.loads(file.read_text()) == SECRET
    for _ in range(2):
        shell_variables.forget({shell_variables.FILE: str(file)})
        assert not file.exists()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"no_proxy": "a"}, None),
        ({"http_proxy": "http://p"}, "localhost,127.0.0.1,::1"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "a, 127.0.0.1"}, "a,127.0.0.1,localhost,::1"),
        ({"all_proxy": "http://p", "no_proxy": "b", "NO_PROXY": "a"}, "b,localhost,127.0.0.1,::1"),
    ],
)
def test_this_machine_is_reached_past_every_proxy(
    environ: dict[str, str], expected: str | None
) -> None:
    found = access.past_proxies(environ)
    assert found == ({} if expected is None else {"no_proxy": expected, "NO_PROXY": expected})

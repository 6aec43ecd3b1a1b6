"""Every command on every store that cannot be used: one message, the right code, no traceback."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ardm import filesystem
from ardm.chaos import emulator as gcs_emulator
from ardm.cli.main import MODULES, app
from ardm.store import claims
from tests.cluster.conftest import TINY
from tests.runner.setting import opened

pytestmark = pytest.mark.slow


READING = {
    "runs": ["runs"],
    "status": ["status", "mine"],
    "watch": ["watch", "mine"],
    "logs": ["logs", "mine"],
    "stop": ["stop", "mine"],
    "pull": ["pull", "mine"],
    "sample": ["sample", "mine"],
    "evaluate": ["evaluate", "mine"],
    "compare": ["compare", "mine", "other"],
    "policy": ["policy", "mine", "--budgets", "2"],
    "inpaint": ["inpaint", "mine", "--keep", "top-half"],
    "report": ["report", "mine"],
    "plan": ["plan", "--run", "mine"],
}
WRITING = {
    "submit": ["submit", str(TINY), "--run", "mine"],
    "train": ["train", str(TINY), "--run", "mine"],
}
ELSEWHERE = {"validate", "down", "chaos", "soak", "node_agent"}
"""Commands without a store, or with one of their own."""


def test_every_command_is_here() -> None:
    names = {command.__name__ for module in MODULES for command in module.COMMANDS}
    assert names == READING.keys() | WRITING.keys() | ELSEWHERE


def ended(command: list[str], uri: str, code: int) -> str:
    done: Result = CliRunner().invoke(app, command, env={"ARDM_STORE": uri})
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    assert "Traceback" not in done.output
    assert done.stderr.count("ardm:") == 1, done.stderr
    return done.stderr


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of a server that is not there."""
    for name, value in gcs_emulator.settings("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(filesystem, "SMALL", 0.3)
    monkeypatch.setattr(filesystem, "AT_THE_DOOR", 0.3)
    return "gs://any/runs"


@pytest.mark.parametrize("name", READING)
def test_reading_from_a_server_that_does_not_answer(closed: str, name: str) -> None:
    said = ended(READING[name], closed, 4)
    assert "gs://any/runs" in said
    assert "127.0.0.1:9" in said


@pytest.mark.parametrize("name", WRITING)
def test_writing_to_a_server_that_does_not_answer(closed: str, name: str) -> None:
    assert "gs://any/runs" in ended(WRITING[name], closed, 2)


@pytest.mark.parametrize("name", [*READING, *WRITING])
def test_a_store_that_is_a_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    assert str(file) in ended((READING | WRITING)[name], str(file), 4 if name in READING else 2)


@pytest.mark.parametrize("name", READING)
def test_a_store_that_does_not_exist(tmp_path: Path, name: str) -> None:
    assert str(tmp_path / "none") in ended(READING[name], str(tmp_path / "none"), 4)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", READING)
def test_a_bucket_that_does_not_exist(emulator: str, name: str) -> None:
    assert "gs://no-such-bucket/runs" in ended(READING[name], "gs://no-such-bucket/runs", 4)


def test_an_empty_store_has_no_runs(store_uri: str) -> None:
    if "://" not in store_uri:
        Path(store_uri).mkdir()
    done = CliRunner().invoke(app, ["runs", "--json"], env={"ARDM_STORE": store_uri})
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


@pytest.mark.parametrize("name", [*sorted(READING.keys() - {"runs"}), *WRITING])
def test_a_name_that_no_file_system_takes(tmp_path: Path, name: str) -> None:
    command = ["a" * 300 if word == "mine" else word for word in (READING | WRITING)[name]]
    assert re.search("at most 100|too long", ended(command, str(tmp_path), 2))


def test_a_stop_that_nobody_answers_is_a_failure(tmp_path: Path) -> None:
    run = opened(str(tmp_path), "mine")
    claims.claim(run, {})
    said = ended(["stop", "mine", "--patience", "0.1"], str(tmp_path), 3)
    assert "did not answer" in said
    assert "submitted again" in " ".join(said.split())


def command_line(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    ardm = Path(sys.executable).with_name("ardm")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([ardm, *arguments], **pipes)  # type: ignore[call-overload, no-any-return]


def test_a_reader_that_leaves_and_streams_that_are_closed_are_no_failure(tmp_path: Path) -> None:
    opened(str(tmp_path), "mine")
    runs = ("runs", "--json", "--store", str(tmp_path))
    reading, writing = os.pipe()
    os.close(reading)
    with command_line(*runs, stdout=writing) as process:
        os.close(writing)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, b"")
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&- 2>&-', "sh", Path(sys.executable).with_name("ardm"), *runs],
        timeout=60,
    )
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_result_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        options = ("runs", "--json", "--store", str(tmp_path))
        with command_line(*options, stdout=full) as process:
            _, said = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert b"Traceback" not in said

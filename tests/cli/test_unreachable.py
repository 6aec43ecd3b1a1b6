"""Commands on unusable stores: one message, the right exit code, and no traceback."""

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
from ardm.cli import console
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
    "compress": ["compress", "mine", str(TINY), "--out", "/tmp/x.ardm"],
    "decompress": ["decompress", "mine", str(TINY), "--to", "/tmp/x"],
    "export": ["export", "mine", "--to", "/tmp/exported"],
    "report": ["report", "mine"],
    "plan": ["plan", "--run", "mine"],
    "serve": ["serve"],
}
WRITING = {
    "submit": ["submit", str(TINY), "--run", "mine"],
    "train": ["train", str(TINY), "--run", "mine"],
}
ELSEWHERE = {"init", "validate", "down", "chaos", "soak", "doctor", "node_agent", "idle_stop"}
"""Commands that use no store, or a store of their own."""


def test_every_command_is_listed() -> None:
    names = {command.__name__ for module in MODULES for command in module.COMMANDS}
    assert names == READING.keys() | WRITING.keys() | ELSEWHERE


def error_of(command: list[str], uri: str, code: int) -> str:
    done: Result = CliRunner().invoke(app, command, env={"ARDM_STORE": uri})
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    assert "Traceback" not in done.output
    assert done.stderr.count("ardm:") == 1, done.stderr
    return done.stderr


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket on a port at which no server listens."""
    for name, value in gcs_emulator.settings("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(filesystem, "SMALL", 0.3)
    monkeypatch.setattr(filesystem, "AT_THE_DOOR", 0.3)
    return "gs://any/runs"


@pytest.mark.parametrize("name", READING)
def test_reading_commands_report_a_server_that_does_not_answer(closed: str, name: str) -> None:
    stderr = error_of(READING[name], closed, 4)
    assert "gs://any/runs" in stderr
    assert "127.0.0.1:9" in stderr


@pytest.mark.parametrize("name", WRITING)
def test_writing_commands_report_a_server_that_does_not_answer(closed: str, name: str) -> None:
    assert "gs://any/runs" in error_of(WRITING[name], closed, 2)


@pytest.mark.parametrize("name", [*READING, *WRITING])
def test_a_store_that_is_a_file_is_reported(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    assert str(file) in error_of((READING | WRITING)[name], str(file), 4 if name in READING else 2)


@pytest.mark.parametrize("name", READING)
def test_a_store_that_does_not_exist_is_reported(tmp_path: Path, name: str) -> None:
    assert str(tmp_path / "none") in error_of(READING[name], str(tmp_path / "none"), 4)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", READING)
def test_a_bucket_that_does_not_exist_is_reported(emulator: str, name: str) -> None:
    assert "gs://no-such-bucket/runs" in error_of(READING[name], "gs://no-such-bucket/runs", 4)


def test_an_empty_store_has_no_runs(store_uri: str) -> None:
    if "://" not in store_uri:
        Path(store_uri).mkdir()
    done = CliRunner().invoke(app, ["runs", "--json"], env={"ARDM_STORE": store_uri})
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


@pytest.mark.parametrize("name", [*sorted(READING.keys() - {"runs", "serve"}), *WRITING])
def test_a_run_name_that_is_too_long_is_refused(tmp_path: Path, name: str) -> None:
    command = ["a" * 300 if word == "mine" else word for word in (READING | WRITING)[name]]
    assert re.search("at most 100|too long", error_of(command, str(tmp_path), 2))


def test_a_stop_that_no_attempt_answers_is_a_failure(tmp_path: Path) -> None:
    run = opened(str(tmp_path), "mine")
    claims.claim(run, {})
    stderr = error_of(["stop", "mine", "--patience", "0.1"], str(tmp_path), 3)
    assert "did not answer" in stderr
    assert "submitted again" in " ".join(stderr.split())


def command_line(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    ardm = Path(sys.executable).with_name("ardm")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([ardm, *arguments], **pipes)  # type: ignore[call-overload, no-any-return]


def test_the_end_of_the_process_closes_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python closes the objects that are left when the modules are gone."""
    monkeypatch.setattr(console, "sys", None)
    console.out.file.close()


def test_closed_pipes_and_closed_streams_are_no_failure(tmp_path: Path) -> None:
    opened(str(tmp_path), "mine")
    runs = ("runs", "--json", "--store", str(tmp_path))
    reading, writing = os.pipe()
    os.close(reading)
    with command_line(*runs, stdout=writing) as process:
        os.close(writing)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, b"")
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
            _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2, stderr
    assert b"Traceback" not in stderr

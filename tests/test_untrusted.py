"""What comes from elsewhere is read without executing it, and names stay inside the store."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ardm.cli.main import app
from ardm.html.collect import collect, paired
from ardm.store.run_directory import Run
from tests.cli.conftest import Here
from tests.runner.invented import new_run

COMMANDS = ("status", "watch", "logs", "pull", "sample", "evaluate", "policy", "report", "stop")

OUTSIDE = ("../other", "/etc", "a/../../b", "..", ".", "a\nb", "A B", "$(touch pwned)")


class Payload:
    """An object that would create a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._file),)


def test_the_payload_would_be_noticed(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "pwned")))
    assert (tmp_path / "pwned").is_dir()


@pytest.mark.parametrize(
    "line",
    [
        "job: !!python/object/apply:os.mkdir [pwned]",
        "data: !!python/object/new:os.system [mkdir pwned]",
        "seed: !!python/name:os.system",
        "training: {steps: !!binary AAAA}",
    ],
)
def test_a_job_file_executes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(f"job: x\n{line}\n".replace("job: x\njob:", "job:"))
    for command in ("validate", "train"):
        said = Here(str(tmp_path / "runs"))(command, "job.yaml", code=2).stderr
        assert "job.yaml" in said
    assert not (tmp_path / "pwned").exists()


def test_estimates_with_pickled_objects_are_left_out(tmp_path: Path, local_run: Run) -> None:
    buffer = io.BytesIO()
    hostile = np.array([Payload(tmp_path / "pwned")], dtype=object)
    np.savez(buffer, nelbo=hostile, t=np.zeros((1, 1), int), index=np.zeros(1, int))
    for step in ("00000001", "00000002"):
        local_run.store.write(local_run.file("evaluations", f"{step}-valid.npz"), buffer.getvalue())
    shown = collect(local_run)
    assert paired(shown, shown, "valid") is None
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_name_of_a_run_cannot_leave_the_store(tmp_path: Path, command: str) -> None:
    run = new_run(tmp_path / "runs")
    outside = tmp_path / "other"
    outside.mkdir()
    (outside / "job.yaml").write_text("job: other\n")
    for name in OUTSIDE:
        done = CliRunner().invoke(app, [command, name], env={"ARDM_STORE": run.store.uri})
        assert done.exit_code in (2, 4), f"{name!r}: {done.output}"
        assert "Traceback" not in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "runs"]
    assert [path.name for path in outside.iterdir()] == ["job.yaml"]
    assert not run.attempts()

"""Commands that start and end training, where there is nothing to be started or ended."""

import json
import threading
from pathlib import Path

import pytest

from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.events.events import Outcome
from ardm.runner.heartbeat import Heartbeat
from ardm.store import claims, registry
from ardm.store.run_directory import Run
from tests.cli.conftest import Here
from tests.cluster.conftest import TINY
from tests.runner.invented import add_attempt, ended, started
from tests.runner.setting import JOB, opened

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A new run; no Ray of this user's is in reach."""
    monkeypatch.setenv("ARDM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    return opened(str(tmp_path / "runs"), "mine")


@pytest.fixture
def ardm(run: Run) -> Here:
    return Here(run.store.uri)


@pytest.fixture
def job(tmp_path: Path) -> str:
    """The file of the run's job."""
    file = tmp_path / "tiny.yaml"
    file.write_text(JOB)
    return str(file)


def test_validate_takes_several_files_and_starts_nothing(ardm: Here, job: str, run: Run) -> None:
    said = ardm("validate", job, str(TINY), "--set", "training.steps=48").stderr
    assert f"{job}: job tiny is valid" in said
    assert f"{TINY}: job tiny is valid" in said
    assert said.count("train 50,000") == 2
    specs = ardm.json("validate", job, str(TINY), "--set", "training.steps=48")
    assert [spec["training"]["steps"] for spec in specs] == [48, 48]
    assert run.attempts() == []


def test_validate_says_nothing_good_beside_a_fault(ardm: Here, job: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("job: bad\ntraining: {steps: 0}\n")
    done = ardm("validate", job, str(bad), code=2)
    assert f"{bad}" in done.stderr
    assert "training.steps" in done.stderr
    assert "is valid" not in done.stderr
    assert done.stdout == ""


def test_a_run_that_is_complete_is_neither_submitted_nor_trained_again(
    ardm: Here, job: str, run: Run, tmp_path: Path
) -> None:
    add_attempt(run, started(0.0, 0.0), ended(41.0, 24, "completed"), began=0.0)
    done = ardm("submit", job, "--run", "mine", "--json", "--follow")
    assert json.loads(done.stdout) == {"run": "mine", "submission_id": None, "address": None}
    assert "run mine is already complete; `ardm sample mine` draws images from it" in done.stderr
    assert "next:" not in done.stderr
    assert run.attempts() == [1]
    assert not (tmp_path / "home" / "ray.json").exists()


def test_submit_to_a_server_that_is_not_there_creates_no_run(
    ardm: Here, job: str, run: Run
) -> None:
    said = ardm("submit", job, "--run", "new", "--address", "http://127.0.0.1:1", code=2).stderr
    assert "no Ray job server answers at http://127.0.0.1:1" in said
    assert [entry.run.name for entry in registry.entries(run.store)] == ["mine"]


def test_stop_of_a_run_that_is_not_trained_is_no_failure(ardm: Here, run: Run) -> None:
    assert "run mine is not being trained" in ardm("stop", "mine").stderr
    add_attempt(run, started(0.0, 0.0), ended(41.0, 20, "preempted"), began=0.0)
    assert ardm.json("stop", "mine") == {"run": "mine", "attempt": None, "outcome": None}
    assert not run.store.exists(run.stop_request(1))


def test_stop_says_with_which_step_the_run_has_ended(ardm: Here, run: Run) -> None:
    number = claims.claim(run, {"workers": 1})
    events = EventLog(run, number)
    heartbeat = Heartbeat(run, number, events, lambda: {"step": 20})
    over = threading.Event()

    def train() -> None:
        """Until the attempt is asked to stop."""
        while not heartbeat.stop_requested and not over.wait(0.05):
            pass
        if heartbeat.stop_requested:
            events.add(kinds.Ended(outcome=Outcome.STOPPED, step=20, reason="asked"))
        heartbeat.close()

    heartbeat.start()
    attempt = threading.Thread(target=train)
    attempt.start()
    try:
        done = ardm("stop", "mine", "--json")
    finally:
        over.set()
        attempt.join()
    assert json.loads(done.stdout) == {"run": "mine", "attempt": 1, "outcome": "stopped"}
    assert "run mine: stopped at step 20" in done.stderr


def test_down_where_no_ray_of_ours_runs_is_no_failure(ardm: Here) -> None:
    assert "no local Ray is running that `ardm submit` started" in ardm("down").stderr

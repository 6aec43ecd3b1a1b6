"""Commands that look at runs, and what a person learns from them when something is wrong."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ardm.cli import watching
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.events.events import Outcome
from ardm.job.spec import JobSpec
from ardm.runner.heartbeat import Heartbeat
from ardm.store import claims, registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.cli.conftest import Here
from tests.runner.invented import add_attempt, ended, new_run, started
from tests.runner.setting import files_of, save

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path, training={"steps": 100, "warmup": 0})


@pytest.fixture
def ardm(run: Run) -> Here:
    return Here(run.store.uri)


def fields_of(number: int) -> dict[str, Any]:
    return {"attempt": number, "step": 7, "total_steps": 100, "state": "training"}


def progress(run: Run, number: int, **fields: Any) -> None:
    """What an attempt has just reported of itself."""
    reported = (
        fields_of(number) | {"time": time.time(), "beat": 1, "beat_s": 1.0, "tail": []} | fields
    )
    run.store.write(run.progress(number), json.dumps(reported).encode())


def test_runs_are_listed_from_the_oldest_on_and_by_job(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "runs"))
    for name, job, day in (("b", "one", 1), ("a", "other", 2), ("c", "one", 3)):
        spec = JobSpec.model_validate_json(json.dumps({"job": job}))
        registry.open_run(Run(store, name), spec, datetime(2026, 1, day, tzinfo=UTC))
    ardm = Here(store.uri)
    assert [entry["run"] for entry in ardm.json("runs")] == ["b", "a", "c"]
    assert [entry["run"] for entry in ardm.json("runs", "--job", "one")] == ["b", "c"]
    assert ardm.json("runs", "--job", "none") == []
    lines = ardm("runs").stdout.splitlines()
    assert [[*line.split()[:2], line.split()[-1]] for line in lines[1:]] == [
        ["b", "queued", "one"],
        ["a", "queued", "other"],
        ["c", "queued", "one"],
    ]
    assert "2026-01-02 00:00:00" in lines[2]


def test_status_says_that_saves_fail_and_which_checkpoint_is_damaged(run: Run, ardm: Here) -> None:
    number = add_attempt(run, started(0.0, 0.0), began=0.0)
    save(run, number, 2)
    for name, content in files_of(save(run, number, 4)).items():
        if "/d/" in name:
            run.store.write(name, bytes(len(content)))
    progress(run, number, save_error="no space [left] on device")
    said = ardm("status", run.name).stdout
    assert f"{run.name}  training" in said
    assert "CANNOT SAVE  no space [left] on device" in said
    assert "damaged" in said
    assert "step 4: " in said
    assert "step 2, " in said
    found = ardm.json("status", run.name)
    assert found["checkpoint"]["step"] == 2
    assert [skip["step"] for skip in found["skipped"]] == [4]
    unread = ardm.json("status", run.name, "--no-verify")
    assert (unread["checkpoint"]["step"], unread["skipped"]) == (4, [])


@pytest.mark.parametrize(
    ("outcome", "code", "advice"),
    [
        ("completed", 0, "completed at step 40"),
        ("failed", 3, "`ardm logs invented`"),
        ("stopped", 75, "submit it again to continue"),
        ("superseded", 3, "`ardm logs invented`"),
    ],
)
def test_watch_ends_as_the_run_has_ended(
    run: Run, ardm: Here, outcome: str, code: int, advice: str
) -> None:
    add_attempt(run, started(0.0, 0.0), ended(41.0, 40, outcome), began=0.0, progress=(41.0, 40))
    said = ardm("watch", run.name, code=code).stderr
    assert f"run {run.name}: {outcome} at step 40" in said
    assert advice in said


def test_watch_stays_with_a_run_that_trains_until_it_ends(
    run: Run, ardm: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = claims.claim(run, {"workers": 1})
    events = EventLog(run, number)
    reported = fields_of(number)
    heartbeat = Heartbeat(run, number, events, lambda: reported)
    heartbeat.do_what_is_due()
    looks = 0

    def pause(_: Run) -> float:
        """Between two looks of the command; at the third one the run ends."""
        nonlocal looks
        looks += 1
        if looks == 3:
            reported["step"] = 100
            events.add(kinds.Ended(outcome=Outcome.COMPLETED, step=100))
            heartbeat.close()
        return 0.01

    monkeypatch.setattr(watching, "look_s", pause)
    monkeypatch.setattr(watching, "STATUS_PERIOD_S", 0.0)
    done = ardm("watch", run.name)
    assert looks >= 3
    lines = done.stdout.splitlines()
    assert lines[0] == "invented: training, step 7 of 100 · saved no checkpoint yet"
    assert lines[-1].startswith("invented: completed, step 100 of 100")
    assert len(lines) == 2
    said = done.stderr
    assert f"run {run.name}: completed at step 100" in said


def test_runs_say_how_far_each_has_come(run: Run, ardm: Here) -> None:
    (queued,) = ardm.json("runs")
    assert (queued["state"], queued["step"], queued["age_s"]) == ("queued", None, None)
    number = add_attempt(run, started(0.0, 0.0), began=0.0)
    progress(run, number, train_nelbo_bpd=0.25)
    (training,) = ardm.json("runs")
    assert (training["state"], training["step"], training["total_steps"]) == ("training", 7, 100)
    assert training["age_s"] < 60
    assert "7 of 100  0.2500" in " ".join(ardm("runs").stdout.split()).replace("100 ", "100  ")
    progress(run, number, time=time.time() - 1000)
    assert ardm.json("runs")[0]["state"] == "stopped"
    progress(run, number, ended={"event": "ended", "time": 1.0, "outcome": "diverged", "step": 7})
    assert ardm.json("runs")[0]["state"] == "failed"


def test_logs_are_printed_as_they_are_and_by_attempt(run: Run, ardm: Here) -> None:
    for text in (b"first [/bold] \xff\n", b"second\n"):
        number = add_attempt(run, started(0.0, 0.0), began=0.0)
        run.store.write(run.file("logs", f"{number:06d}.log"), text)
    add_attempt(run, started(0.0, 0.0), began=0.0)  # killed before it left a log
    said = ardm("logs", run.name).stdout
    assert said == "attempt 1\nfirst [/bold] \ufffd\nattempt 2\nsecond\nattempt 3\n"
    assert ardm("logs", run.name, "--attempt", "2").stdout == "attempt 2\nsecond\n"


@pytest.mark.parametrize(("number", "code"), [("3", 4), ("0", 2), ("-1", 2)])
def test_logs_of_an_attempt_that_there_is_not_are_an_error(
    run: Run, ardm: Here, number: str, code: int
) -> None:
    for _ in range(2):
        add_attempt(run, started(0.0, 0.0), began=0.0)
    said = ardm("logs", run.name, "--attempt", number, code=code)
    assert said.stdout == ""
    if code == 4:
        assert "run invented has no attempt 3; it has: 1, 2" in said.stderr

import os
import time

import pytest

from ardm.analysis import plan
from ardm.analysis.assumptions import Figures
from ardm.analysis.report import report
from ardm.analysis.status import status
from ardm.cli.progress import line
from ardm.errors import InputError, NotFound
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.runner import control
from ardm.store import claims
from ardm.store.claims import STALE
from ardm.store.run_directory import Run
from tests.runner.setting import files_of, newest_digest, save

pytestmark = pytest.mark.slow


NO_RAY = {"address": None, "submission_id": None, "status": None}


def with_job(job_status):
    ray = {"address": "http://127.0.0.1:8265", "submission_id": "tiny-1-1"}
    return ray | {"status": job_status}


def add_attempt(run, ago=0.0, state="training", step=5, ended=None, **claim):
    """Add an attempt whose last heartbeat was `ago` seconds ago."""
    then = time.time() - ago
    number = claims.claim(run, {"time": then - 10, "workers": 1} | claim)
    events = EventLog(run, number, clock=lambda: then)
    events.add(kinds.Started(step=0, seconds=1.0))
    if ended:
        events.add(kinds.Ended(outcome=ended, step=step, reason="because", detail=""))
    events.flush()
    progress = f'{{"state": "{state}", "step": {step}, "time": {then}, "eta_s": 9.0}}'
    run.store.write(run.progress(number), progress.encode())
    os.utime(run.store.path(run.progress(number)), (then, then))


def test_the_status_of_a_finished_run_has_every_field_that_scripts_rely_on(finished):
    found = status(finished, NO_RAY)
    assert (found["run"], found["job"]) == ("finished", "tiny")
    assert (found["state"], found["step"], found["total_steps"]) == ("completed", 24, 24)
    assert (found["checkpoint"]["step"], found["digest"]) == newest_digest(finished)
    assert found["checkpoint"].keys() >= {"step", "attempt", "uri", "age_s", "bytes"}
    assert found["checkpoint"]["bytes"] > 0
    assert 0 <= found["checkpoint"]["age_s"] < 600
    (attempt,) = found["attempts"]
    assert attempt.keys() >= {
        "attempt", "outcome", "reason", "workers", "first_step", "last_step", "steps_lost",
        "started", "ended",
    }  # fmt: skip
    assert (attempt["attempt"], attempt["outcome"], attempt["workers"]) == (1, "completed", 1)
    assert (attempt["first_step"], attempt["last_step"], attempt["steps_lost"]) == (0, 24, 0)
    assert attempt["started"] < attempt["ended"]
    metrics = found["metrics"]
    assert 0 < metrics["train_nelbo_bpd"] < 2
    for split in ("valid", "test"):
        assert 0 < metrics[f"{split}_nelbo_bpd"] < 2
        assert metrics[f"{split}_nelbo_se"] > 0
        assert metrics[f"{split}_step"] == 24
    assert found["goodput"].keys() >= {"fraction", "badput", "steps_lost"}
    assert 0 < found["goodput"]["fraction"] <= 1
    assert found["ray"].keys() >= {"address", "submission_id"}
    assert found["steps_per_s"] is None
    assert found["eta_s"] is None
    assert found["skipped"] == []


@pytest.mark.parametrize("ahead", [-40.0, 40.0])
def test_the_clocks_of_the_writer_and_the_reader_do_not_matter(local_run, ahead, monkeypatch):
    add_attempt(local_run)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + ahead)
    found = status(local_run, NO_RAY)
    assert (found["state"], found["reason"]) == ("training", "")
    path = local_run.store.path(local_run.progress(1))
    os.utime(path, (clock() - STALE - 5, clock() - STALE - 5))
    assert status(local_run, NO_RAY)["state"] == "stopped"


@pytest.mark.parametrize(
    ("job", "state"),
    [(None, "queued"), ("PENDING", "queued"), ("FAILED", "failed"), ("STOPPED", "stopped")],
)
def test_a_run_without_an_attempt(run, job, state):
    found = status(run, with_job(job))
    assert (found["state"], found["step"]) == (state, 0)
    assert (found["digest"], found["checkpoint"], found["attempts"]) == (None, None, [])
    assert found["goodput"]["fraction"] is None


@pytest.mark.parametrize(
    ("how", "job", "state"),
    [
        ({"state": "training"}, None, "training"),
        ({"state": "starting", "step": 0}, None, "starting"),
        ({"state": "saving"}, "RUNNING", "saving"),
        ({"state": "draining"}, "RUNNING", "draining"),
        ({"ago": STALE + 5}, "RUNNING", "recovering"),
        ({"ago": STALE + 5}, None, "stopped"),
        ({"ago": STALE + 5}, "STOPPED", "stopped"),
        ({"ended": "completed"}, None, "completed"),
        ({"ended": "stopped"}, None, "stopped"),
        ({"ended": "preempted"}, None, "stopped"),
        ({"ended": "preempted"}, "RUNNING", "recovering"),
        ({"ended": "worker_lost"}, "RUNNING", "recovering"),
        ({"ended": "storage_fault"}, "RUNNING", "recovering"),
        ({"ended": "storage_fault"}, None, "failed"),
        ({"ended": "failed"}, "RUNNING", "failed"),
        ({"ended": "out_of_memory"}, None, "failed"),
        ({"ended": "diverged"}, "RUNNING", "failed"),
        ({"ended": "superseded"}, None, "superseded"),
    ],
)
def test_the_state_of_a_run_by_its_newest_attempt(local_run, how, job, state):
    add_attempt(local_run, ago=100, ended="preempted")
    add_attempt(local_run, **how)
    found = status(local_run, with_job(job))
    assert found["state"] == state
    assert (found["eta_s"] is not None) == (state in ("training", "saving"))


def test_a_restarting_run_is_at_the_step_of_its_checkpoint(local_run):
    save(local_run, 1, 4)
    add_attempt(local_run, ago=100, ended="preempted")
    add_attempt(local_run, state="starting", step=0)
    assert status(local_run, NO_RAY)["step"] == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damage_is_reported_and_the_digest_is_that_of_an_intact_checkpoint(run):
    good, bad = save(run, 1, 4), save(run, 1, 6)
    for name in files_of(bad):
        if "/d/" in name:
            run.store.fs.pipe_file(run.store.path(name), b"rot")
    found = status(run, NO_RAY)
    assert found["checkpoint"]["step"] == good.step
    assert [(skip["step"], skip["attempt"]) for skip in found["skipped"]] == [(6, 1)]
    assert found["digest"] is not None
    assert status(run, NO_RAY, verify=False)["checkpoint"]["step"] == bad.step


def test_a_change_that_voids_equal_bits_is_reported(local_run):
    add_attempt(local_run, ended="preempted", device="cpu:cpu", libraries={"jax": "1"})
    add_attempt(local_run, device="cpu:cpu", libraries={"jax": "2"})
    found = status(local_run, NO_RAY)
    assert found["changed"] == ["libraries"]
    assert found["changes"] == [{"what": "libraries: jax", "old": "1", "new": "2"}]


def test_an_unknown_run_is_not_found(local_run):
    with pytest.raises(NotFound):
        status(Run(local_run.store, "nobody"), NO_RAY)


@pytest.mark.parametrize("outcome", ["stopped", "failed", "completed", "superseded", None])
def test_a_submission_without_an_attempt_is_queued_however_the_attempt_before_it_ended(
    local_run, outcome
):
    run = local_run
    add_attempt(run, ago=2 * STALE, state="training", ended=outcome)
    waiting = with_job("RUNNING") | {"after": 1, "submitted": time.time()}
    assert status(run, waiting)["state"] == "queued"
    assert status(run, waiting | {"status": "PENDING"})["state"] == "queued"
    assert status(run, waiting | {"status": None})["state"] == "queued"
    assert status(run, waiting | {"status": "FAILED"})["state"] == "failed"
    assert status(run, waiting | {"status": "STOPPED"})["state"] == "stopped"
    before = status(run, NO_RAY)["state"]
    lost = waiting | {"status": None, "submitted": time.time() - 1000}
    assert status(run, lost)["state"] == before
    add_attempt(run, state="training")
    assert status(run, waiting)["state"] == "training"


def test_a_run_with_invalid_files_has_a_status_and_a_report(local_run):
    """A missing or invalid field has its default value; `watch` prints the progress line."""
    add_attempt(local_run, ended="preempted", ago=100)
    number = claims.claim(local_run, {"workers": "many", "time": None, "nodes": 3})
    events = EventLog(local_run, number)
    odd = {"step": "x", "seconds": None, "bytes": [], "outcome": 7, "nelbo_bpd": {}}
    for name in kinds.KINDS:
        events.add(kinds.Other(event=name))
        events.add(kinds.Other(event=name, **odd))
    events.flush()
    for data in (b"", b"[]", b"{}", b'{"step": "x", "time": {}, "state": 3, "beat_s": "y"}'):
        local_run.store.write(local_run.progress(number), data)
        found = status(local_run, NO_RAY)
        assert [a["attempt"] for a in found["attempts"]] == [1, 2]
        assert report(local_run)["goodput"]["wall_s"] >= 0
        progress = local_run.read_progress(number)
        assert line(progress).startswith("step 0/?")
        with pytest.raises(InputError, match="no attempt of two or more steps"):
            plan.measured(local_run, 0.03, Figures())
        assert control.ended(local_run, number) is None

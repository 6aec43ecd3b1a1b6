"""Attempts in this process: every way in which one can end, and that the next one goes on."""

import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ardm.chaos.emulator import free_port
from ardm.checkpoint import checkpoints
from ardm.events import kinds
from ardm.runner import control, heartbeat
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice, Timings
from ardm.store import claims
from ardm.training.group import Alone
from tests.data.published import random_images, serve, write_idx
from tests.runner.setting import Acting, events, files_of, newest_digest, opened, tiny_spec

pytestmark = pytest.mark.slow


STEPS = 24


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_LOCAL", 0.1)
    monkeypatch.setattr(heartbeat, "BEAT_REMOTE", 0.2)


def go(run, act=None, notice=None, spec=None, resize=None, timings=None, **about):
    group = Acting(act) if act else Alone()
    context = Context(
        group, notice or Notice(), about, resize or Notice(), timings=timings or Timings()
    )
    return run_attempt(run, spec or tiny_spec(), context)


def at(step, do, slow=0.0):
    """Do something in the course of a step, and take more time for the steps after it."""

    def act(number):
        if number == step:
            do()
        if number >= step:
            time.sleep(slow)

    return act


def assert_completes_as_if_nothing_had_been(run, finished, **about):
    ended = go(run, **about)
    assert (ended.outcome, ended.step) == ("completed", STEPS)
    assert newest_digest(run) == newest_digest(finished)


def test_a_run_is_completed_saved_evaluated_and_recorded(run, finished):
    ended = go(run, by="test")
    assert (ended.outcome, ended.step, ended.detail) == ("completed", STEPS, "")
    assert newest_digest(run) == newest_digest(finished)
    names = [event.event for event in events(run, 1)]
    assert names[:3] == ["claimed", "started", "first_step"]
    assert names[-3:] == ["evaluated", "evaluated", "ended"]
    assert events(run, 1, kinds.Ended)[0].outcome == "completed"
    splits = [(e.split, e.step, e.images) for e in events(run, 1, kinds.Evaluated)]
    assert splits == [("valid", STEPS, 16), ("test", STEPS, 16)]
    kept = [f"{STEPS:08d}-{split}.npz" for split in ("test", "valid")]
    assert run.store.names(f"{run.name}/evaluations") == kept
    claim = run.store.read_record(run.claim(1))
    assert (claim["by"], claim["workers"]) == ("test", 1)
    assert run.store.read_record(run.progress(1))["state"] == "completed"
    assert {"loss.png", "loss-per-t.png"} <= set(run.store.names(f"{run.name}/plots"))
    assert len(checkpoints.committed(run)) <= tiny_spec().checkpoint.keep_last


def test_evaluations_and_samples_on_the_way(local_run):
    # The steps of the other tests, so that nothing but the sampler has to be compiled.
    changes = ("evaluation.every=12", "evaluation.samples=2", "evaluation.sample_steps=3")
    spec = tiny_spec(*changes)
    run = opened(local_run.store.uri, "watched", spec)
    assert go(run, spec=spec).outcome == "completed"
    found = [(e.step, e.split) for e in events(run, 1, kinds.Evaluated)]
    assert found == [(12, "valid"), (24, "valid"), (24, "test")]
    assert run.store.names(f"{run.name}/samples") == ["00000012.png", "00000024.png"]


def test_a_stopped_run_is_saved_and_goes_on_to_the_same_end(run, finished):
    ended = go(run, at(5, lambda: control.request_stop(run), slow=0.3))
    assert ended.outcome == "stopped"
    assert 5 <= ended.step < STEPS
    assert newest_digest(run)[0] == ended.step
    assert_completes_as_if_nothing_had_been(run, finished)
    assert events(run, 2, kinds.Restored)[0].step == ended.step
    assert events(run, 2, kinds.Restored)[0].from_attempt == 1


def test_the_state_of_muon_is_saved_and_restored_whole(local_run):
    spec = tiny_spec("training.optimizer=muon")
    whole, stopped = (opened(local_run.store.uri, name, spec) for name in ("whole", "stopped"))
    assert go(whole, spec=spec).outcome == "completed"
    ended = go(stopped, at(5, lambda: control.request_stop(stopped), slow=0.3), spec=spec)
    assert ended.outcome == "stopped"
    assert go(stopped, spec=spec).outcome == "completed"
    assert newest_digest(stopped) == newest_digest(whole)


def test_a_notice_ends_the_attempt_at_the_next_step_with_everything_saved(run, finished):
    notice = Notice()
    ended = go(run, at(5, lambda: setattr(notice, "reason", "spot")), notice)
    assert (ended.outcome, ended.step, ended.reason) == ("preempted", 6, "spot; saved")
    assert newest_digest(run)[0] == 6
    assert_completes_as_if_nothing_had_been(run, finished)


def test_a_group_that_makes_room_for_another_one_saves_first(local_run, finished):
    resize = Notice()
    ended = go(local_run, at(5, lambda: setattr(resize, "reason", "room for 4")), resize=resize)
    assert (ended.outcome, ended.step, ended.reason) == ("resized", 6, "room for 4; saved")
    assert newest_digest(local_run)[0] == 6
    assert_completes_as_if_nothing_had_been(local_run, finished)


def test_a_notice_during_the_last_step_loses_nothing(local_run, finished):
    notice = Notice()
    ended = go(local_run, at(STEPS - 1, lambda: setattr(notice, "reason", "spot")), notice)
    assert (ended.outcome, ended.step) == ("preempted", STEPS)
    assert_completes_as_if_nothing_had_been(local_run, finished)
    assert events(local_run, 2, kinds.Saved) == []


def test_a_superseded_attempt_ends_and_the_newer_one_is_not_disturbed(run):
    ended = go(run, at(5, lambda: claims.claim(run, {}), slow=0.3))
    assert ended.outcome == "superseded"
    assert ended.step < STEPS
    assert "attempt 2 holds the run" in ended.reason
    # A save that began before the claim may still be committed; none begins after it.
    assert all(place.attempt == 1 and place.step <= 5 for place in checkpoints.committed(run))


def test_a_programming_error_is_a_failure_with_its_trace(local_run, finished):
    def wrong():
        raise ZeroDivisionError("of the loss")

    ended = go(local_run, at(5, wrong))
    assert (ended.outcome, ended.step) == ("failed", 4)
    assert ended.reason == "ZeroDivisionError: of the loss"
    assert "in wrong" in ended.detail
    recorded = events(local_run, 1, kinds.Ended)[0]
    assert (recorded.outcome, recorded.detail) == ("failed", ended.detail)
    assert_completes_as_if_nothing_had_been(local_run, finished)


def test_data_that_cannot_be_used_end_the_job(tmp_path):
    spec = tiny_spec("data.source=tfds")
    local_run = opened(str(tmp_path / "runs"), spec=spec)
    damaged = Path(local_run.store.uri, "_shared", "data", "binarized_mnist.tfds.xz")
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"not a data set")
    ended = go(local_run, spec=spec)
    assert (ended.outcome, ended.step) == ("bad_input", 0)
    assert "binarized_mnist" in ended.reason
    assert ended.outcome.ends_the_job


def test_data_whose_server_is_down_are_waited_for(tmp_path, caplog):
    images = tmp_path / "images"
    images.mkdir()
    write_idx(images, random_images(40, (28, 28, 1), 1), random_images(20, (28, 28, 1), 2))
    address = f"http://127.0.0.1:{free_port()}"
    spec = tiny_spec("data.source=files", f"data.path={address}/")
    same = tiny_spec("data.source=files", f"data.path={images}")
    here = opened(str(tmp_path / "runs"), "here", same)
    run = opened(str(tmp_path / "runs"), "there", spec)
    ended = go(run, spec=spec, timings=Timings(data=0.0))
    assert (ended.outcome, ended.step) == ("storage_fault", 0)
    assert address in ended.reason
    assert not ended.outcome.ends_the_job
    up = threading.Event()

    def serve_later():
        time.sleep(1.5)
        with serve(images, int(address.rpartition(":")[2])):
            up.wait()

    thread = threading.Thread(target=serve_later)
    thread.start()
    try:
        ended = go(run, spec=spec)
    finally:
        up.set()
        thread.join()
    assert (ended.outcome, ended.step) == ("completed", STEPS)
    assert "the data cannot be read now, and are tried again" in caplog.text
    assert go(here, spec=same).outcome == "completed"
    assert newest_digest(run) == newest_digest(here)


def test_an_attempt_after_a_crash_loop_ends_at_once(local_run, finished):
    limit = tiny_spec().scaling.max_attempts_without_progress
    for _ in range(limit):
        claims.claim(local_run, {"submission": "s1"})
    ended = go(local_run, submission="s1")
    assert (ended.outcome, ended.step) == ("failed", 0)
    assert "attempts [1, 2, 3] saved nothing new" in ended.reason
    assert checkpoints.committed(local_run) == []
    assert_completes_as_if_nothing_had_been(local_run, finished, submission="s2")


# Orbax (0.12.8) leaves an event loop behind where a restore fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_set_aside_and_the_run_comes_to_the_same_end(run, finished):
    notice = Notice()
    go(run, at(9, lambda: setattr(notice, "reason", "spot")), notice)
    newest = checkpoints.committed(run)[0]
    for name, data in files_of(newest).items():
        if "/d/" in name:
            run.store.fs.pipe_file(run.store.path(name), data[: len(data) // 2])
    assert_completes_as_if_nothing_had_been(run, finished)
    skipped = events(run, 2, kinds.Skipped)
    assert [(e.step, e.from_attempt) for e in skipped] == [(newest.step, 1)]
    assert run.store.names(run.damaged(1, newest.step))
    began = events(run, 2, kinds.Restored) or events(run, 2, kinds.Started)
    assert began[0].step < newest.step


def test_a_completed_run_has_nothing_left_to_do(local_run, finished):
    assert_completes_as_if_nothing_had_been(local_run, finished)
    assert_completes_as_if_nothing_had_been(local_run, finished)
    assert events(local_run, 2, kinds.Saved) == []
    assert events(local_run, 2, kinds.FirstStep) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_training_goes_on_while_the_store_is_broken(local_run, finished):
    folder = Path(local_run.store.path(local_run.checkpoints_dir))

    def break_store():
        # A save beside it may put the directory there again.
        while not folder.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(IsADirectoryError):
                folder.write_text("in the way")

    def act(number):
        if number == 3:
            break_store()
        if number == 16:
            folder.unlink()
        time.sleep(0.03)

    ended = go(local_run, act)
    assert (ended.outcome, ended.step) == ("completed", STEPS)
    assert events(local_run, 1, kinds.SaveFailed)
    assert newest_digest(local_run) == newest_digest(finished)


def test_a_store_that_stays_broken_is_no_programming_error(local_run):
    folder = Path(local_run.store.path(local_run.checkpoints_dir))
    folder.write_text("in the way")
    ended = go(local_run, timings=Timings(last_save=0.5))
    assert (ended.outcome, ended.step) == ("save_failed", STEPS)
    assert "could not be saved" in ended.reason

"""A saver whose store fails or hangs."""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ardm.checkpoint import checkpointer as saver_module
from ardm.checkpoint import checkpoints
from ardm.checkpoint.checkpointer import Checkpointer
from ardm.errors import SaveFailed
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.job.config import CheckpointConfig
from ardm.store import claims
from ardm.store.retry import BACK_OFF, Deadline
from tests.clock import Clock
from tests.runner.scene import Scene
from tests.runner.setting import small_state

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(local_run) -> Path:
    """Where the checkpoints of a local run lie."""
    return Path(local_run.store.path(local_run.checkpoints_dir))


def break_store(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("in the way")


def mend_store(folder: Path) -> None:
    folder.unlink()


def test_training_is_told_of_a_failing_store_and_saves_go_on_once_it_is_mended(local_run, folder):
    scene = Scene(local_run)
    break_store(folder)
    assert not scene.offer(1, after=10.0)
    assert scene.saver.error
    assert "\n" not in scene.saver.error
    assert scene.saver.saved_step == 0
    # Tried again after 1, 2, 4, 8 and then every 10 seconds, with the state of that time.
    tries = []
    for step in range(2, 40):
        scene.offer(step, after=1.0)
        if len(scene.events(kinds.SaveFailed)) > len(tries) + 1:
            tries.append(step - 1)
    assert tries == [1, 3, 7, 15, 25, 35]
    mend_store(folder)
    assert scene.offer(100, after=10.0)
    assert scene.saver.error is None
    assert scene.steps() == [100]
    # After a success the next failure is tried again soon.
    break_store(folder)
    assert not scene.offer(101, after=10.0)
    mend_store(folder)
    assert scene.offer(102, after=BACK_OFF)


def test_the_last_save_is_tried_until_patience_is_over(local_run, folder):
    scene = Scene(local_run)
    break_store(folder)
    with pytest.raises(SaveFailed) as caught:
        scene.saver.finish(9, small_state(9), scene.deadline(20.0))
    message = str(caught.value)
    assert "step 9 could not be saved" in message
    assert "within 20 s" in message
    assert "newest checkpoint is of step 0" in message
    assert "run the same command again" in message
    assert scene.clock.slept == [1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 1.0]


def test_the_last_save_succeeds_when_the_store_is_mended_in_time(local_run, folder):

    class Mending(Clock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.slept) == 3:
                mend_store(folder)

    scene = Scene(local_run, clock=Mending())
    break_store(folder)
    scene.saver.finish(9, small_state(9), scene.deadline(60.0))
    assert scene.steps() == [9]
    assert len(scene.events(kinds.SaveFailed)) == 3
    assert scene.saver.error is None


def test_a_store_that_cannot_be_pruned_still_holds_the_new_checkpoint(local_run, folder):
    scene = Scene(local_run, keep_last=1)
    assert scene.offer(1, after=10.0)
    place = checkpoints.Checkpoint(local_run, scene.number, 1)
    (folder / f"{scene.number:06d}" / "junk").write_text("a file among the checkpoints")
    assert scene.offer(2, after=10.0)
    assert scene.saver.error is None
    assert place.step not in scene.steps()


class Hanging:
    """Saves that begin while this is on do not end; in real time."""

    def __init__(self, monkeypatch) -> None:
        self.over, self.steps = threading.Event(), []
        save = checkpoints.save

        def hang(checkpoint, state, metadata, **options):
            if not self.over.is_set() and (not self.only or metadata["step"] in self.only):
                self.steps.append(metadata["step"])
                self.over.wait(60)
            return save(checkpoint, state, metadata, **options)

        self.only: set[int] = set()
        monkeypatch.setattr(checkpoints, "save", hang)


@pytest.fixture
def hanging(monkeypatch):
    found = Hanging(monkeypatch)
    yield found
    found.over.set()


def in_real_time(run, **config) -> Checkpointer:
    number = claims.claim(run, {})
    config = CheckpointConfig(**{"interval": 0.0} | config)
    return Checkpointer(run, number, config, EventLog(run, number), 0)


def test_a_step_to_be_kept_waits_for_a_save_that_hangs_only_so_long(
    local_run, hanging, monkeypatch
):
    monkeypatch.setattr(saver_module, "SILENCE", 0.5)
    saver = in_real_time(local_run, keep_every=2)
    begin = time.monotonic()
    for step in range(1, 9):
        saver.offer(step, small_state(step))
    assert time.monotonic() - begin < 3
    assert "step 1 is being saved for" in saver.error
    hanging.over.set()
    assert saver.wait(30)
    saver.offer(10, small_state(10))
    assert saver.wait(30)
    assert saver.error is None
    assert [place.step for place in checkpoints.committed(local_run)] == [10, 1]


def test_the_last_save_does_not_wait_for_one_that_hangs(local_run, hanging):
    saver = in_real_time(local_run)
    hanging.only = {1}
    saver.offer(1, small_state(1))
    begin = time.monotonic()
    saver.finish(2, small_state(2), Deadline(3.0))
    assert 1 < time.monotonic() - begin < 3
    assert [place.step for place in checkpoints.committed(local_run)] == [2]
    # What comes of the other one later changes nothing.
    hanging.over.set()
    assert saver.saved_step == 2


def test_a_last_save_that_hangs_fails_in_time_and_a_notice_leaves_less(local_run, hanging):
    saver = in_real_time(local_run)
    begin = time.monotonic()
    noticed = Deadline(60.0, urgent=lambda: begin + 1.0)
    with pytest.raises(SaveFailed, match="the store does not answer"):
        saver.finish(2, small_state(2), noticed)
    assert 0.9 < time.monotonic() - begin < 3


def test_a_save_that_was_committed_though_it_seemed_to_fail_is_not_written_again(run, monkeypatch):
    """To write it again is to remove the newest good checkpoint first."""
    scene, save, calls = Scene(run), checkpoints.save, []

    def answer_lost(*args, **options):
        calls.append(args)
        save(*args, **options)
        raise ConnectionResetError("reset")

    monkeypatch.setattr(checkpoints, "save", answer_lost)
    scene.saver.finish(3, small_state(3), scene.deadline(60.0))
    assert len(calls) == 1
    assert scene.steps() == [3]
    assert [e.step for e in scene.events(kinds.Saved)] == [3]


def test_what_failed_saves_leave_behind_is_removed_before_the_next_one(run, monkeypatch):
    scene, save = Scene(run), checkpoints.save
    assert scene.offer(1, after=10.0)

    def break_off(checkpoint, state, metadata, **options):
        ending = ".orbax-checkpoint-tmp" if run.store.is_local else ""
        run.store.write(f"{checkpoint.name}{ending}/d/x", b"x")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints, "save", break_off)
    assert not scene.offer(2, after=10.0)
    folder = f"{run.checkpoints_dir}/{scene.number:06d}"
    assert len(run.store.names(folder)) == 2
    monkeypatch.setattr(checkpoints, "save", save)
    assert scene.offer(3, after=10.0)
    assert run.store.names(folder) == ["1", "3"]


def test_a_save_that_hangs_does_not_hold_the_process(tmp_path):
    """The threads of an executor would be waited for at the end of the interpreter."""
    program = """
import sys, threading
from ardm.checkpoint import checkpoints
from ardm.store.retry import Deadline
from tests.checkpoint import test_checkpointer_failures
from tests.runner.setting import opened, small_state
checkpoints.save = lambda *_, **__: threading.Event().wait()
saver = test_checkpointer_failures.in_real_time(opened(sys.argv[1]))
saver.offer(1, small_state(1))
print("hangs", saver.saving)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "runs")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    assert done.stdout == b"hangs True\n"

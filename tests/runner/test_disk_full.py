"""A real full disk under the store: training says so, goes on, and saves when there is room."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardm.events import kinds
from ardm.runner import heartbeat
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice, Timings, to_error
from ardm.store.run_directory import Run
from tests.runner.setting import Acting, events, newest_digest, opened, tiny_spec

STEPS = 24
SIZE = 3 * 2**20
"""Bytes of the disk; a checkpoint of the tiny job takes some 100,000."""

# Orbax (0.12.8) leaves an event loop behind where a save fails.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting is not permitted here ({error})")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def run(disk: Path, monkeypatch) -> Run:
    monkeypatch.setattr(heartbeat, "BEAT_LOCAL", 0.1)
    return opened(str(disk / "runs"))


def fill(disk: Path) -> Path:
    """Leave no room for anything."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * os.statvfs(disk).f_bsize)
        except OSError:
            return filler


def full(reason: str) -> bool:
    """TensorStore has words of its own for it."""
    return "No space left" in reason or "RESOURCE_EXHAUSTED" in reason


def test_training_says_that_the_disk_is_full_and_saves_again_when_there_is_room(
    run, disk, finished
):
    def act(step: int) -> None:
        if step == 6:
            fill(disk)
        if step == 18:
            (disk / "filler").unlink()
        time.sleep(0.1)

    group = Acting(act)
    ended = run_attempt(run, tiny_spec(), Context(group, Notice()))
    assert (ended.outcome, ended.step) == ("completed", STEPS), ended
    failed = events(run, 1, kinds.SaveFailed)
    assert any(full(e.reason) for e in failed), failed
    assert newest_digest(run) == newest_digest(finished)
    assert events(run, 1, kinds.Ended)[0].outcome == "completed"


def test_a_disk_that_stays_full_ends_the_job_with_code_3_and_keeps_what_was_saved(run, disk):
    steps = []

    def act(step: int) -> None:
        if step == 6:
            time.sleep(0.5)
        if step >= 6:  # again and again: older checkpoints go and leave room
            fill(disk)
        steps.append(step)

    timings = Timings(last_save=3.0, last_words=1.0)
    ended = run_attempt(run, tiny_spec(), Context(Acting(act), Notice(), timings=timings))
    assert (ended.outcome, ended.step) == ("save_failed", STEPS)
    assert ended.outcome.ends_the_job
    error = to_error(ended)
    assert error is not None
    assert error.exit_code == 3
    assert full(str(error))
    assert len(steps) == STEPS
    (disk / "filler").unlink()
    assert 0 < newest_digest(run)[0] < STEPS
    after = run_attempt(run, tiny_spec(), Context(Acting(lambda step: None), Notice()))
    assert after.outcome == "completed"

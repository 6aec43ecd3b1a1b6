"""The watch for a removal of the newest checkpoint, over a real bucket."""

import time

import pytest

from ardm.chaos.watch import FinishedCheckpoint, Watch
from ardm.store.run_directory import Run
from ardm.store.store import Store


@pytest.fixture
def run(bucket):
    return Run(Store(f"{bucket}/runs"), "watched")


def commit(run: Run, checkpoint: FinishedCheckpoint) -> None:
    path = run.checkpoint(checkpoint.attempt, checkpoint.step)
    run.store.write(f"{path}/commit_success.txt", b"x")


def wait_until_seen(watch: Watch, newest: FinishedCheckpoint | None) -> None:
    deadline = time.monotonic() + 20
    while watch.newest != newest:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_removal_of_the_newest_checkpoint_is_reported(run):
    old, new = FinishedCheckpoint(5, 1), FinishedCheckpoint(10, 2)
    with Watch(run) as watch:
        commit(run, old)
        commit(run, new)
        wait_until_seen(watch, new)
        assert watch.intact() == [new, old]
        run.store.remove_tree(run.checkpoint(1, 5))
        time.sleep(1.0)
        assert watch.lost_checkpoints == []
        commit(run, old)
        run.store.remove_tree(run.checkpoint(2, 10))
        wait_until_seen(watch, old)
    (line,) = watch.lost_checkpoints
    assert "of step 10 (attempt 2), was removed" in line
    assert line.endswith("step 5 was left")


def test_a_checkpoint_that_was_damaged_on_purpose_may_be_removed(run):
    old, new = FinishedCheckpoint(5, 1), FinishedCheckpoint(10, 2)
    with Watch(run) as watch:
        commit(run, old)
        commit(run, new)
        wait_until_seen(watch, new)
        watch.exclude(new)
        run.store.remove_tree(run.checkpoint(2, 10))
        wait_until_seen(watch, old)
    assert watch.lost_checkpoints == []

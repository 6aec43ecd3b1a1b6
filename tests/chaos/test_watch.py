"""The look-out for a newest checkpoint that goes, over a real bucket."""

import time

import pytest

from ardm.chaos.watch import Place, Watch
from ardm.store.run_directory import Run
from ardm.store.store import Store


@pytest.fixture
def run(bucket):
    return Run(Store(f"{bucket}/runs"), "watched")


def commit(run: Run, place: Place) -> None:
    run.store.write(f"{run.checkpoint(place.attempt, place.step)}/commit_success.txt", b"x")


def seen(watch: Watch, newest: Place | None) -> None:
    deadline = time.monotonic() + 20
    while watch.newest != newest:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_newest_checkpoint_that_is_removed_is_told(run):
    old, new = Place(5, 1), Place(10, 2)
    with Watch(run) as watch:
        commit(run, old)
        commit(run, new)
        seen(watch, new)
        assert watch.good() == [new, old]
        run.store.remove_tree(run.checkpoint(1, 5))
        time.sleep(1.0)
        assert watch.went_back == []
        commit(run, old)
        run.store.remove_tree(run.checkpoint(2, 10))
        seen(watch, old)
    (line,) = watch.went_back
    assert "of step 10 (attempt 2), was removed" in line
    assert line.endswith("step 5 was left")


def test_one_that_was_damaged_on_purpose_may_go(run):
    old, new = Place(5, 1), Place(10, 2)
    with Watch(run) as watch:
        commit(run, old)
        commit(run, new)
        seen(watch, new)
        watch.give_up(new)
        run.store.remove_tree(run.checkpoint(2, 10))
        seen(watch, old)
    assert watch.went_back == []

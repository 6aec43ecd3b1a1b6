"""Trying again until a deadline, in no time: the clock and the sleep are arguments."""

import threading

import pytest

from ardm.store.retry import Abandoned, Deadline, attend, in_background, retry
from tests.clock import Clock


def failing(times: int, error: Exception):
    """Work that fails so many times, and then gives how often it was tried."""
    tries: list[int] = []

    def work() -> int:
        tries.append(len(tries))
        if len(tries) <= times:
            raise error
        return len(tries)

    return work


def test_a_deadline_comes_nearer_with_time_and_at_once_with_a_notice() -> None:
    clock, notice = Clock(), [None]
    deadline = Deadline(60.0, clock, lambda: notice[0])
    assert (deadline.spent(), deadline.left()) == (0.0, 60.0)
    clock.now = 20.0
    assert (deadline.spent(), deadline.left()) == (20.0, 40.0)
    notice[0] = 25.0
    assert deadline.left() == 5.0
    clock.now = 100.0
    assert deadline.left() == 0.0


def test_what_may_pass_is_tried_again_with_longer_and_longer_pauses() -> None:
    clock = Clock()
    work = failing(4, OSError("busy"))
    assert retry(work, Deadline(60.0, clock), lambda error: True, clock.sleep) == 5
    assert clock.slept == [1.0, 2.0, 4.0, 4.0]


def test_the_last_error_is_raised_once_the_deadline_has_passed() -> None:
    clock = Clock()
    with pytest.raises(OSError, match="busy"):
        retry(failing(99, OSError("busy")), Deadline(5.0, clock), lambda error: True, clock.sleep)
    assert clock.now == 5.0


def test_an_error_that_does_not_pass_is_raised_at_once() -> None:
    clock = Clock()
    work = failing(1, ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        retry(work, Deadline(60.0, clock), lambda e: isinstance(e, OSError), clock.sleep)
    assert clock.slept == []


def test_work_in_the_background_gives_its_result_or_its_error() -> None:
    assert in_background(lambda: 7, "test").result(10) == 7
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 / 0, "test").result(10)
    assert not Deadline(0.0).wait(in_background(threading.Event().wait, "test"))


def test_work_is_left_to_itself_when_something_is_urgent() -> None:
    assert attend(lambda: 7, lambda: False, "test") == 7
    with pytest.raises(ZeroDivisionError):
        attend(lambda: 1 / 0, lambda: False, "test")
    urgent, release = threading.Event(), threading.Event()

    def work() -> None:
        urgent.set()
        release.wait()

    with pytest.raises(Abandoned):
        attend(work, urgent.is_set, "test")
    release.set()

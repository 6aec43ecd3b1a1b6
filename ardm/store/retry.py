"""Trying again what fails for a while: with back-off, until a deadline, never for ever."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, wait_exponential

T = TypeVar("T")

BACK_OFF, LONGEST_BACK_OFF = 1.0, 4.0
"""Seconds before the second try of something; doubled for every further one, up to the longest."""

_GLANCE = 0.25
"""Seconds between two looks at whether something has become urgent."""

_TICK = 0.1
"""The same beside work that is usually short."""


class Abandoned(Exception):
    """Something was left undone, because there is something more urgent to do."""


class Deadline:
    """A moment some seconds from now, which a notice can bring nearer.

    Args:
        seconds: that are left.
        clock: monotonic seconds.
        urgent: asked all the time for the moment of `clock` at which all must be over; None as
            long as nothing is urgent.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        urgent: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.seconds = seconds
        self._clock, self._urgent = clock, urgent
        self._begin = clock()

    def spent(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._begin

    def left(self) -> float:
        """Seconds, 0 if there are none."""
        left, urgent = self.seconds - self.spent(), self._urgent()
        return max(left if urgent is None else min(left, urgent - self._clock()), 0.0)

    def wait(self, work: Future[None], at_most: float | None = None) -> bool:
        """Wait for work that is under way; whether it is done."""
        begin = self._clock()
        while not work.done():
            left = self.left()
            if at_most is not None:
                left = min(left, at_most - (self._clock() - begin))
            if left <= 0:
                return False
            wait([work], min(left, _GLANCE))
        return True


def retry(
    work: Callable[[], T],
    deadline: Deadline,
    retryable: Callable[[BaseException], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Do something that may fail for a while.

    Args:
        work: done until it succeeds.
        deadline: until when.
        retryable: whether an error is one that may pass.
        sleep: for so many seconds.

    Returns:
        What the work returns.

    Raises:
        Exception: the last error, once the deadline has passed; any other error at once.
    """
    back_off = wait_exponential(multiplier=BACK_OFF, max=LONGEST_BACK_OFF)
    return Retrying(
        retry=retry_if_exception(retryable),
        wait=lambda tries: min(back_off(tries), deadline.left()),
        stop=lambda _: deadline.left() <= 0,  # a notice may have brought it nearer
        sleep=sleep,
        reraise=True,
    )(work)


def in_background(work: Callable[[], T], name: str) -> Future[T]:
    """Do something on a daemon thread of its own.

    The interpreter waits at its end for the threads of an executor, so that one call that hangs
    would hold the process; for a daemon thread it does not.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done


def attend(work: Callable[[], T], urgent: Callable[[], bool], name: str) -> T:
    """Do something on a thread of its own, and leave that thread to itself in an emergency.

    A call that compiles, or that waits for a store, cannot be cut short.

    Args:
        work: to be done.
        urgent: asked all the time whether there is something more urgent to do.
        name: of the thread.

    Returns:
        What the work returns.

    Raises:
        Abandoned: it became urgent first.
        Exception: the error of the work.
    """
    done = in_background(work, name)
    while not done.done():
        if urgent():
            raise Abandoned
        wait([done], _TICK)
    return done.result()

"""Retries with back-off until a deadline, and work on background threads."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, wait_exponential

T = TypeVar("T")

BACK_OFF, LONGEST_BACK_OFF = 1.0, 4.0
"""Seconds before the first retry; doubled for each further one, up to the longest."""

_POLL = 0.25
"""Seconds between two checks whether an earlier deadline has come up."""

_SHORT_POLL = 0.1
"""Seconds between two such checks while work runs that is usually short."""


class Abandoned(Exception):
    """Work was abandoned because something more urgent came up."""


class Deadline:
    """A deadline some seconds from now, which a preemption notice can bring forward.

    Args:
        seconds: seconds until the deadline.
        clock: returns monotonic seconds.
        urgent: returns an earlier deadline, as a time of `clock`, or None; called at every check.
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
        """Seconds since the deadline was created."""
        return self._clock() - self._begin

    def left(self) -> float:
        """Seconds left; 0 once the deadline has passed."""
        left, urgent = self.seconds - self.spent(), self._urgent()
        return max(left if urgent is None else min(left, urgent - self._clock()), 0.0)

    def wait(self, work: Future[None], at_most: float | None = None) -> bool:
        """Wait for work that is under way, `at_most` so many seconds; return whether it is done."""
        begin = self._clock()
        while not work.done():
            left = self.left()
            if at_most is not None:
                left = min(left, at_most - (self._clock() - begin))
            if left <= 0:
                return False
            wait([work], min(left, _POLL))
        return True


def retry(
    work: Callable[[], T],
    deadline: Deadline,
    retryable: Callable[[BaseException], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call a function until it succeeds, with back-off between the tries.

    Args:
        work: the function.
        deadline: the deadline after which no try begins.
        retryable: returns whether an error may pass.
        sleep: waits for a number of seconds.

    Returns:
        The function's result.

    Raises:
        Exception: the last retryable error, once the deadline has passed; any other error at once.
    """
    back_off = wait_exponential(multiplier=BACK_OFF, max=LONGEST_BACK_OFF)
    return Retrying(
        retry=retry_if_exception(retryable),
        wait=lambda tries: min(back_off(tries), deadline.left()),
        stop=lambda _: deadline.left() <= 0,  # a notice may have brought it forward
        sleep=sleep,
        reraise=True,
    )(work)


def in_background(work: Callable[[], T], name: str) -> Future[T]:
    """Call a function on its own daemon thread.

    At exit the interpreter waits for the threads of an executor, so that one hanging call would
    keep the process alive. It does not wait for a daemon thread.
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
    """Call a function on its own thread, and abandon that thread in an emergency.

    A call that compiles, or that waits for a store, cannot be interrupted.

    Args:
        work: the function.
        urgent: returns whether something more urgent has come up; called at every check.
        name: name of the thread.

    Returns:
        The function's result.

    Raises:
        Abandoned: something urgent came up before the function returned.
        Exception: the function's error.
    """
    done = in_background(work, name)
    while not done.done():
        if urgent():
            raise Abandoned
        wait([done], _SHORT_POLL)
    return done.result()

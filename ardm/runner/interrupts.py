"""What can end an attempt before its work is done: signals, drains, requests, newer claims."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.outages import of_the_store
from ardm.runner.context import NOTHING, PREEMPT, RESIZE, STOP, SUPERSEDED, Context, Notice
from ardm.runner.heartbeat import Heartbeat
from ardm.store.retry import Deadline, attend, retry

SECOND_LOOK = 1.0
"""A second Ctrl-C ends the process at once if it comes at least so many seconds after the first."""

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


T = TypeVar("T")


@contextmanager
def saving_first(notice: Notice, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Let SIGTERM, SIGHUP and SIGINT set a notice, and nothing more, however often they come.

    A process manager and a shell may both pass on the same signal, and a terminal that closes
    sends several. Only a person at a terminal can insist: with a second Ctrl-C.
    SIGHUP and SIGINT stay ignored where they were, as by `nohup` or in a script's background.

    Args:
        notice: whose reason becomes the name of the first signal.
        clock: monotonic seconds.
    """
    interrupted: float | None = None

    def take(signum: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if signum == signal.SIGINT:
            if interrupted is not None and clock() - interrupted >= SECOND_LOOK:
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)
            interrupted = clock() if interrupted is None else interrupted
        if notice.reason is None:
            notice.reason = signal.Signals(signum).name
            _write(f"{notice.reason}: saving, then ending (Ctrl-C twice ends at once)\n")

    taken = [number for number in ENDING if number == signal.SIGTERM or not _is_ignored(number)]
    before = {number: signal.signal(number, take) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def _write(text: str) -> None:
    """Write to stderr from a signal handler, which may have interrupted a buffered write."""
    with suppress(OSError):  # the terminal may have been closed
        os.write(2, text.encode())


class Interrupts:
    """Looks out for a notice, a request to stop, a newer claim and another size of the group.

    Args:
        context: of the attempt.
        events: where a notice is recorded.
        heartbeat: which listens for requests and claims.
        superseded: whether somebody else has met a newer claim.
        step: the number of steps done.
    """

    def __init__(
        self,
        context: Context,
        events: EventLog,
        heartbeat: Heartbeat,
        superseded: Callable[[], bool],
        step: Callable[[], int],
    ) -> None:
        self._context, self._events, self._heartbeat = context, events, heartbeat
        self._superseded, self._step = superseded, step
        self._noticed: float | None = None

    @property
    def noticed(self) -> bool:
        """Whether there was a notice."""
        return self._noticed is not None

    def flag(self) -> int:
        """The reason to end, as a flag that the workers make known to each other."""
        if self._heartbeat.superseded_by or self._superseded():
            return SUPERSEDED
        if reason := self._context.notice.reason:
            if self._noticed is None:
                self._noticed = time.monotonic()
                self._events.add(kinds.Notice(step=self._step(), reason=reason))
            return PREEMPT
        if self._heartbeat.stop_requested:
            return STOP
        return RESIZE if self._context.resize.reason else NOTHING

    def none(self) -> bool:
        """Whether nothing is in the way of an evaluation."""
        return self.flag() == NOTHING

    def deadline(self, seconds: float, on_notice: float) -> Deadline:
        """So many seconds from now; or so many from a notice, if there is or comes one."""

        def urgent() -> float | None:
            self.flag()
            return None if self._noticed is None else self._noticed + on_notice

        return Deadline(seconds, urgent=urgent)

    def in_time(self, work: Callable[[], T]) -> T:
        """Do what needs the store before the first step; a fault of the store is waited out.

        Raises:
            Abandoned: the attempt is to end.
        """
        deadline = self.deadline(self._context.timings.start, 0.0)
        return self.unless_ending(lambda: retry(work, deadline, of_the_store))

    def unless_ending(self, work: Callable[[], T]) -> T:
        """Do what comes before the first step, until which there is nothing to save.

        In a group, only a notice ends process 0 alone: the error that it ends with restarts the
        group.

        Raises:
            Abandoned: the attempt is to end.
        """
        ends = (STOP, PREEMPT, SUPERSEDED) if self._context.group.size == 1 else (PREEMPT,)
        return attend(work, lambda: self.flag() in ends, "ardm-start")

"""What can end an attempt early: signals, notices, stop requests, newer claims, limits."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.events.events import Outcome
from ardm.outages import of_the_store
from ardm.runner.context import NOTHING, PREEMPT, RESIZE, STOP, SUPERSEDED, Context, Ended, Notice
from ardm.runner.heartbeat import Heartbeat
from ardm.runner.limits import Limits
from ardm.store.retry import Deadline, attend, retry

SECOND_LOOK = 1.0
"""A second Ctrl-C ends the process at once if it comes at least so many seconds after the first."""

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

T = TypeVar("T")


@contextmanager
def saving_first(notice: Notice, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """While the block runs, SIGTERM, SIGHUP and SIGINT set a notice instead of ending the process.

    Repeated signals change nothing: a process manager and a shell may both send the same one, and a
    terminal that closes sends several. Only a second Ctrl-C, from a person, ends the process.
    SIGHUP and SIGINT stay ignored if they were, as under `nohup` or in a script's background.

    Args:
        notice: the notice to set; its reason becomes the name of the first signal.
        clock: returns monotonic seconds.
    """
    interrupted: float | None = None

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if signum == signal.SIGINT:
            if interrupted is not None and clock() - interrupted >= SECOND_LOOK:
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)
            interrupted = clock() if interrupted is None else interrupted
        if notice.reason is None:
            notice.reason = signal.Signals(signum).name
            _write(f"{notice.reason}: saving, then ending (Ctrl-C twice ends at once)\n")

    handled = [number for number in ENDING if number == signal.SIGTERM or not _is_ignored(number)]
    previous = {number: signal.signal(number, handle) for number in handled}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def _write(text: str) -> None:
    """Write to stderr from a signal handler, which may have interrupted a buffered write."""
    with suppress(OSError):  # the terminal may have been closed
        os.write(2, text.encode())


class Interrupts:
    """Watches for a preemption notice, a stop request, a newer claim, a limit and a resize.

    Args:
        context: the context of the attempt.
        events: the event log, in which a notice is recorded.
        heartbeat: the heartbeat, which looks for stop requests and newer claims.
        superseded: returns whether a save has found a newer claim.
        step: returns the number of finished steps.

    Attributes:
        limits: the limits of the run; None as long as its past is not known.
        limit_reached: the limit that ends the attempt, as a sentence; None if none does.
    """

    limits: Limits | None = None
    limit_reached: str | None = None

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
        """Whether there was a preemption notice."""
        return self._noticed is not None

    def flag(self) -> int:
        """The reason to end, as a flag; the training loop shares it among the workers."""
        if self._heartbeat.superseded_by or self._superseded():
            return SUPERSEDED
        if reason := self._context.notice.reason:
            if self._noticed is None:
                self._noticed = time.monotonic()
                self._events.add(kinds.Notice(step=self._step(), reason=reason))
            return PREEMPT
        if self._heartbeat.stop_requested:
            return STOP
        if self.limit_reached is None and self.limits is not None:
            self.limit_reached = self.limits.reached()
        if self.limit_reached:
            return STOP
        return RESIZE if self._context.resize.reason else NOTHING

    def ended(self, flag: int, saved: str = "saved") -> Ended:
        """How the attempt ends because of a flag.

        Args:
            flag: the flag.
            saved: what was saved, for the reason.
        """
        step = self._step()
        if flag == SUPERSEDED:
            return Ended(Outcome.SUPERSEDED, step, "a newer attempt holds the run")
        if flag == STOP and self.limit_reached:
            reason = f"{self.limit_reached}; {saved}. Raise the limit to go on"
            return Ended(Outcome.LIMITED, step, reason)
        if flag == STOP:
            return Ended(Outcome.STOPPED, step, f"asked to stop; {saved}")
        if flag == RESIZE:
            return Ended(Outcome.RESIZED, step, f"{self._context.resize.reason}; saved")
        reason = self._context.notice.reason or "another worker got a notice"
        return Ended(Outcome.PREEMPTED, step, f"{reason}; {saved}")

    def none_pending(self) -> bool:
        """Whether there is no reason to end."""
        return self.flag() == NOTHING

    def deadline(self, seconds: float, on_notice: float) -> Deadline:
        """A deadline `seconds` from now, or `on_notice` seconds after a notice if sooner."""

        def urgent() -> float | None:
            self.flag()
            return None if self._noticed is None else self._noticed + on_notice

        return Deadline(seconds, urgent=urgent)

    def in_time(self, work: Callable[[], T]) -> T:
        """Do work before the first step that needs the store, with retries while the store fails.

        Raises:
            Abandoned: there is a reason to end the attempt.
        """
        deadline = self.deadline(self._context.timings.start, 0.0)
        return self.unless_ending(lambda: retry(work, deadline, of_the_store))

    def unless_ending(self, work: Callable[[], T]) -> T:
        """Do work before the first step; abandon it when the attempt is to end, as nothing is lost.

        In a group of several workers only a preemption notice ends process 0 here, since the other
        workers do not end with it: its error makes Ray restart the group.

        Raises:
            Abandoned: there is a reason to end the attempt.
        """
        ends = (STOP, PREEMPT, SUPERSEDED) if self._context.group.size == 1 else (PREEMPT,)
        return attend(work, lambda: self.flag() in ends, "ardm-start")

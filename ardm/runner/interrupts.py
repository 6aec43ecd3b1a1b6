"""What can end an attempt before its work is done, and how long anything may take then."""

import time
from collections.abc import Callable
from typing import TypeVar

from ardm.events.event_log import EventLog
from ardm.outages import of_the_store
from ardm.runner.context import NOTHING, PREEMPT, RESIZE, STOP, SUPERSEDED, Context
from ardm.runner.heartbeat import Heartbeat
from ardm.store.retry import Deadline, attend, retry

T = TypeVar("T")


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
                self._events.add("notice", step=self._step(), reason=reason)
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

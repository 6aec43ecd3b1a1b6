"""The limits of a run: hours and cost, after which it saves and ends."""

import time
from collections.abc import Callable, Sequence

from ardm.events.records import AttemptRecord
from ardm.job.spec import JobSpec

HOUR = 3600.0


class Limits:
    """Adds up what a run has taken, and says when it has reached a limit.

    Args:
        spec: the job.
        records: the records of the earlier attempts.
        workers: number of workers of this attempt.
        began: when this attempt began (seconds since 1970).
        clock: returns seconds since 1970.
    """

    def __init__(
        self,
        spec: JobSpec,
        records: Sequence[AttemptRecord],
        workers: int,
        began: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits, self._price = spec.limits, spec.scaling.price_per_worker_hour or 0.0
        self._workers, self._began, self._clock = workers, began, clock
        lives = [(_alive(record), record.workers) for record in records]
        self._hours = sum(seconds for seconds, _ in lives) / HOUR
        self._worker_hours = sum(seconds * workers for seconds, workers in lives) / HOUR

    def reached(self) -> str | None:
        """The limit that is reached, as a sentence; None if none is."""
        own = max(self._clock() - self._began, 0.0) / HOUR
        hours, cost = self._limits.hours, self._limits.cost
        if hours is not None and self._hours + own >= hours:
            return f"limits.hours ({hours:g}) are reached"
        if cost is not None:
            spent = (self._worker_hours + own * self._workers) * self._price
            if spent >= cost:
                return f"limits.cost ({cost:g}) is reached"
        return None


def _alive(record: AttemptRecord) -> float:
    """Seconds that an attempt took; one whose times are unknown counts as none."""
    if record.undated:
        return 0.0
    end = record.ended if record.ended is not None else record.last_seen
    return max(end - (record.began or record.started), 0.0)

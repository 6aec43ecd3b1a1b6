"""`checkpoint.interval: auto`: the seconds between saves at which saves and failures cost least.

Two sources of loss trade off: each save costs C seconds of training, and each failure, one per M
seconds on average, costs the work since the last save. Young (1974) found the optimum to first
order, Daly (2006) to higher order.

What an asynchronous save *costs*: a save here writes the state of its step while training
continues. It has a duration (its latency: 2 s, say) and, much smaller, a stall: the seconds by
which the steps during it took longer than others, since both share processors, memory and network.
Only the stall is taken from the training by saving more often, so C is the stall. The duration
makes a failure lose that many seconds more, whatever the interval, so it does not move the optimum
(Vaidya 1997); it bounds the interval from below, since one save must be committed before the next
begins. Until stalls have been measured the duration stands in for them, which is an upper bound.

J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9), 1974.
J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS
22(3), 2006.
N. H. Vaidya, "Impact of checkpoint latency on overhead ratio of a checkpointing scheme", IEEE
Transactions on Computers 46(8), 1997.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from ardm.events import history
from ardm.events.records import AttemptRecord
from ardm.job.config import CheckpointConfig
from ardm.store.run_directory import Run

SHORTEST, LONGEST = 5.0, 600.0
"""Bounds in seconds of a chosen interval: a store is not written to all the time, and even where
nothing ever fails no more than ten minutes are at stake. A save that takes longer than the shortest
interval raises that bound."""

PRIOR_FAILURES, PRIOR_SECONDS = 1.0, 7200.0
"""The prior: one interruption in two hours, with the weight of one interruption. So neither the
first failure nor an hour without one changes the choice by much."""

RECENT = 9
"""The number of latest saves whose median is used."""

FIRST_SAVES = 3
"""How many saves are made at the shortest interval as long as no stall has been measured."""


def young(cost_s: float, mtbf_s: float) -> float:
    """Seconds of work between two saves, to first order: `sqrt(2 C M)` (Young 1974).

    Args:
        cost_s: C, seconds that a save takes from the work.
        mtbf_s: M, mean seconds between failures.
    """
    return math.sqrt(2.0 * cost_s * mtbf_s)


def daly(cost_s: float, mtbf_s: float) -> float:
    """Seconds of work between two saves, to higher order (Daly 2006, equation 37).

    `sqrt(2CM) [1 + 1/3 sqrt(C/2M) + 1/9 (C/2M)] - C` where `C < 2M`, else `M`.

    Args:
        cost_s: C, seconds that a save takes from the work.
        mtbf_s: M, mean seconds between failures.

    Returns:
        Seconds from the end of one save's cost to the beginning of the next one's.
    """
    if cost_s >= 2.0 * mtbf_s:
        return mtbf_s
    x = cost_s / (2.0 * mtbf_s)
    return young(cost_s, mtbf_s) * (1.0 + math.sqrt(x) / 3.0 + x / 9.0) - cost_s


def choose(stall_s: float, duration_s: float, mtbf_s: float) -> float:
    """Seconds between the starts of two saves: Daly's optimum within the bounds.

    Args:
        stall_s: seconds that a save takes from the training.
        duration_s: seconds from a save's beginning to its commit.
        mtbf_s: mean seconds between interruptions of the run.
    """
    optimum = daly(stall_s, mtbf_s) + stall_s
    return min(max(optimum, SHORTEST, duration_s), max(LONGEST, duration_s))


@dataclass(frozen=True)
class Interruptions:
    """How often a run was interrupted, scaled to its present number of workers.

    An attempt counts if it ended as `preempted` or `worker_lost`. One that got a notice could save
    and lost nothing, but counts too: the next interruption may come without a notice.
    """

    count: int
    exposure_s: float
    """Seconds of running; those of an attempt with twice the present workers count twice."""

    def mtbf(self, more_s: float = 0.0) -> float:
        """Mean seconds between interruptions: the inverse of a Gamma posterior's mean rate.

        Args:
            more_s: seconds that the living attempt has run without an interruption.
        """
        return (PRIOR_SECONDS + self.exposure_s + more_s) / (PRIOR_FAILURES + self.count)


def interruptions(records: Sequence[AttemptRecord], workers: int) -> Interruptions:
    """Count the interruptions of finished attempts.

    Args:
        records: the attempts; those that still live do not count.
        workers: the number of workers of the present attempt; every worker is assumed to fail
            equally often.
    """
    ended = [r for r in records if r.outcome is not None]
    lives = [max((r.ended or r.last_seen) - r.began, 0.0) for r in ended]
    exposure = sum(life * r.workers / workers for life, r in zip(lives, ended, strict=True))
    return Interruptions(sum(r.outcome.was_interrupted for r in ended if r.outcome), exposure)


class Interval(Protocol):
    """Save decision policy: how long to wait between two saves, given what saves have cost."""

    def seconds(self) -> float:
        """Seconds from the start of a save to the start of the next."""

    def saved(self, duration_s: float) -> None:
        """Report that a save was committed so many seconds after its start."""

    def stalled(self, stall_s: float) -> None:
        """Report that a save slowed the training down by so many seconds."""


@dataclass(frozen=True)
class Fixed:
    """The interval of the job file."""

    interval_s: float

    def seconds(self) -> float:
        return self.interval_s

    def saved(self, duration_s: float) -> None:
        """Does nothing: the interval is fixed."""

    def stalled(self, stall_s: float) -> None:
        """Does nothing: the interval is fixed."""


class Auto:
    """The optimal interval by what has been measured so far; it may change after every save.

    The cost of a save is not known before the first; so the first ones come early, to measure it.

    Args:
        past: the interruptions of the run's earlier attempts.
        clock: returns monotonic seconds; the attempt is assumed to begin now.
        durations: the durations of earlier saves in seconds, the oldest first.
        stalls: the stalls of earlier saves in seconds, the oldest first.
    """

    def __init__(
        self,
        past: Interruptions,
        clock: Callable[[], float],
        durations: Sequence[float] = (),
        stalls: Sequence[float] = (),
    ) -> None:
        self._past, self._clock, self._begin = past, clock, clock()
        self._durations = deque(durations, maxlen=RECENT)
        self._stalls = deque(stalls, maxlen=RECENT)

    def seconds(self) -> float:
        durations, stalls = list(self._durations), list(self._stalls)
        duration = median(durations) if durations else 0.0
        if not stalls and len(durations) < FIRST_SAVES:
            return max(SHORTEST, duration)
        stall = min(median(stalls), duration) if stalls else duration
        return choose(stall, duration, self._past.mtbf(self._clock() - self._begin))

    def saved(self, duration_s: float) -> None:
        self._durations.append(duration_s)

    def stalled(self, stall_s: float) -> None:
        self._stalls.append(stall_s)


def interval_of(
    run: Run, number: int, config: CheckpointConfig, clock: Callable[[], float]
) -> Interval:
    """The interval of an attempt: that of the job file, or one chosen from the run's event log.

    Args:
        run: the run.
        number: the number of the attempt that saves.
        config: the `checkpoint` section of the job file.
        clock: returns monotonic seconds.
    """
    if config.interval != "auto":
        return Fixed(config.interval)
    records = history.records(run)
    workers = next((r.workers for r in records if r.attempt == number), 1)
    earlier = [r for r in records if r.attempt < number]
    return Auto(
        interruptions(earlier, workers),
        clock,
        [save.seconds for record in earlier for save in record.saves],
        [stall for record in earlier for stall in record.stalls],
    )

"""`checkpoint.interval: auto`: the seconds between two saves that lose least to saves and failures.

Two sources of loss trade off: each save costs C seconds of training, and each failure, one per M
seconds on average, costs the work since the last save. Young (1974) found the optimum to first
order, Daly (2006) to higher order.

What a save *costs* where saves are asynchronous: a save here writes the state of its step beside
the training. It has a duration (its latency: 2 s, say) and, much smaller, a stall: the seconds by
which the steps beside it took longer than others, since both share processors, memory and network.
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
"""What is believed before anything is seen: one interruption in two hours, with the weight of one
interruption; so neither the first failure nor a quiet hour sways the choice by much."""

RECENT = 9
"""Saves whose median counts."""

FIRST_SAVES = 3
"""Saves that come early, at the shortest interval, if none before has told its stall."""


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
    """How often a run was interrupted, brought to its present number of workers.

    An attempt counts if it ended as `preempted` or `worker_lost`. One that got a notice saved and
    lost nothing, and still counts: the next one may come without.
    """

    count: int
    exposure_s: float
    """Seconds under way, an attempt on twice the workers counting twice."""

    def mtbf(self, more_s: float = 0.0) -> float:
        """Mean seconds between interruptions: the inverse of a Gamma posterior's mean rate.

        Args:
            more_s: seconds that the living attempt has added.
        """
        return (PRIOR_SECONDS + self.exposure_s + more_s) / (PRIOR_FAILURES + self.count)


def interruptions(found: Sequence[AttemptRecord], workers: int) -> Interruptions:
    """Count the interruptions of finished attempts.

    Args:
        found: attempts; one that lives is passed over.
        workers: of the present attempt, among which each is taken to vanish equally often.
    """
    over = [r for r in found if r.outcome is not None]
    lives = [max((r.ended or r.last_seen) - r.began, 0.0) for r in over]
    exposure = sum(life * r.workers / workers for life, r in zip(lives, over, strict=True))
    return Interruptions(sum(r.outcome.was_interrupted for r in over if r.outcome), exposure)


class Interval(Protocol):
    """Says how long to wait between two saves, and is told what they took."""

    def seconds(self) -> float:
        """From the start of a save to the start of the next."""

    def saved(self, duration_s: float) -> None:
        """A save was committed so many seconds after its beginning."""

    def stalled(self, stall_s: float) -> None:
        """A save took so many seconds from the training."""


@dataclass(frozen=True)
class Fixed:
    """The interval of the job file."""

    interval_s: float

    def seconds(self) -> float:
        return self.interval_s

    def saved(self, duration_s: float) -> None:
        """Nothing depends on it."""

    def stalled(self, stall_s: float) -> None:
        """Nothing depends on it."""


class Auto:
    """The optimum for what has been measured so far; it may change after every save.

    Before any save there is no cost to go by; the first ones come early and measure it.

    Args:
        past: interruptions of the run's earlier attempts.
        clock: monotonic seconds; the attempt is taken to begin now.
        durations: of earlier saves in seconds, the oldest first.
        stalls: likewise.
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
    """The interval of an attempt: as the job file says, or chosen from the run's ledger.

    Args:
        run: the run.
        number: of the attempt that is to save.
        config: the `checkpoint` section.
        clock: monotonic seconds.
    """
    if config.interval != "auto":
        return Fixed(config.interval)
    found = history.records(run)
    workers = next((r.workers for r in found if r.attempt == number), 1)
    earlier = [r for r in found if r.attempt < number]
    return Auto(
        interruptions(earlier, workers),
        clock,
        [save.seconds for record in earlier for save in record.saves],
        [stall for record in earlier for stall in record.stalls],
    )

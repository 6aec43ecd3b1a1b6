"""Training under preemptions, simulated event by event for many runs at once.

The model is Daly's (2006) in whole steps, with asynchronous saves (Vaidya 1997) and with notices:

- A group works in steps. After every `save_every` of them a save begins: it stalls the group for
  `stall_s`, and commits `save_s` after its beginning, while the next steps are done.
- Interruptions of the group are a Poisson process: that of one worker times their number.
- Without a notice, steps since the last committed save are lost. With one, the group ends the step
  (or stall) it is in and saves while everything waits: nothing is lost, if that fits in the notice.
- Then the group recovers for `recovery_s`. Interruptions strike then too, and begin it anew.
- The end of the work waits for its last save.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_EVENTS = 2000
"""Events after which a simulated run is cut off; its goodput up to there is as good a witness."""


@dataclass(frozen=True)
class Case:
    """One group at one piece of work; times in seconds."""

    steps: int
    step_s: float
    save_every: int
    """Steps from one save to the next."""
    stall_s: float
    save_s: float
    """From the beginning of a save to its commit; at least the stall, and at most the distance of
    two saves."""
    recovery_s: float
    interruptions_per_s: float
    """Of the whole group."""
    noticed: float = 0.0
    """Share of interruptions that come with a notice."""
    notice_s: float = 30.0

    @property
    def cycle_s(self) -> float:
        """From the start of one save to the start of the next."""
        return self.save_every * self.step_s + self.stall_s


@dataclass(frozen=True)
class Simulated:
    """What the simulated runs of one case came to; means over runs."""

    goodput: float
    """Seconds of steps that count over all seconds, both summed over the runs."""
    goodput_se: float
    hours: float
    """Of the whole work; extrapolated where runs were cut off."""
    interruptions: float
    """In the whole work."""
    steps_lost: float
    """Per interruption."""
    finished: float
    """Share of runs that were followed to the end of the work."""


def simulate(cases: Sequence[Case], runs: int, seed: int) -> list[Simulated]:
    """Simulate runs of every case.

    All cases meet the same random numbers, so that they differ by their figures, not by luck; and
    the result of a case does not depend on the others.

    Args:
        cases: what to simulate.
        runs: simulated runs of each case, two or more.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    groups = Groups(cases, runs)
    for _ in range(MOST_EVENTS):
        if not groups.working.any():
            break
        groups.event(rng.standard_exponential(runs), rng.random(runs))
    return [_summary(case, groups, i) for i, case in enumerate(cases)]


class Groups:
    """The state of all simulated runs, as arrays of shape (cases, runs)."""

    def __init__(self, cases: Sequence[Case], runs: int) -> None:
        def column(name: str) -> Floats:
            return np.array([[float(getattr(case, name))] for case in cases])

        self.n, self.s, self.k = column("steps"), column("step_s"), column("save_every")
        self.stall, self.save, self.recovery = (
            column("stall_s"), column("save_s"), column("recovery_s"),
        )  # fmt: skip
        self.cycle = self.k * self.s + self.stall
        self.rate = column("interruptions_per_s")
        self.noticed, self.notice = column("noticed"), column("notice_s")
        shape = len(cases), runs
        self.clock, self.done = np.zeros(shape), np.zeros(shape)
        self.lost, self.struck = np.zeros(shape), np.zeros(shape)
        self.recovering = np.zeros(shape, bool)
        self.working = np.ones(shape, bool)

    def event(self, exponentials: Floats, uniforms: Floats) -> None:
        """Go on to the next interruption, the end of the recovery, or the end of the work.

        Interruptions have no memory, so that each of these may begin with a new waiting time.
        """
        with np.errstate(divide="ignore"):
            x = np.broadcast_to(exponentials / self.rate, self.clock.shape)
        down, up = self.working & self.recovering, self.working & ~self.recovering
        self.clock += np.where(down, np.minimum(x, self.recovery), 0.0)
        self.struck += down & (x < self.recovery)
        self.recovering &= ~(down & (x >= self.recovery))
        finish = self._finish()
        ends = up & (x >= finish)
        self.clock += np.where(ends, finish, 0.0)
        self.done = np.where(ends, self.n, self.done)
        self.working &= ~ends
        self._interrupt(up & ~ends, np.where(up & ~ends, x, 0.0), uniforms < self.noticed)

    def _finish(self) -> Floats:
        """Seconds to the commit of the last save, if nothing happens."""
        left = self.n - self.done
        saves = np.maximum(np.ceil(left / self.k) - 1, 0)
        last = left * self.s + saves * self.stall
        one_before = np.where(saves > 0, saves * self.cycle - self.stall + self.save, 0.0)
        return np.maximum(last, one_before) + self.save

    def _interrupt(self, struck: NDArray[np.bool_], x: Floats, noticed: NDArray[np.bool_]) -> None:
        """Interrupt the runs of a mask, x seconds after they began or went on."""
        left = self.n - self.done
        cycles = np.floor(x / self.cycle)
        within = x - cycles * self.cycle
        steps = np.minimum(cycles * self.k + np.minimum(np.floor(within / self.s), self.k), left)
        behind = self.save - self.stall
        saved = np.minimum(np.maximum(np.floor((x - behind) / self.cycle), 0) * self.k, left)
        working = (within < self.k * self.s) & (steps < left)
        next_step = np.minimum((np.floor(within / self.s) + 1) * self.s, self.k * self.s)
        rest = np.where(steps < left, np.where(working, next_step, self.cycle) - within, 0.0)
        kept = struck & noticed & (rest + self.save <= self.notice)
        lost = struck & ~kept
        self.done += np.where(kept, steps + working, np.where(lost, saved, 0.0))
        self.clock += np.where(struck, x, 0.0) + np.where(kept, rest + self.save, 0.0)
        self.lost += np.where(lost, steps - saved, 0.0)
        self.struck += struck
        over = kept & (self.done >= self.n)
        self.working &= ~over
        self.recovering |= struck & ~over


def expected_goodput(case: Case) -> float | None:
    """Goodput of endless work, in closed form; the simulation approaches it.

    Daly's (2006) complete model: with M seconds between failures, recovery R and cycles of L
    seconds of which T work, each failure follows after M seconds of life and `M (exp(R/M) - 1)` of
    recovery, and cycles saved by then are `1 / (exp(L/M) - 1)`. Here a save commits B seconds
    behind its stall, which divides them by `exp(B/M)`; and a noticed interruption saves the steps
    begun.

    Args:
        case: as for `simulate`; its number of steps does not matter.

    Returns:
        The goodput; None where only some of the notices are long enough, which has no such form.
    """
    T, L, s = case.save_every * case.step_s, case.cycle_s, case.step_s
    if case.interruptions_per_s == 0:
        return T / L
    M = 1.0 / case.interruptions_per_s
    slowest = max(s, case.stall_s) + case.save_s
    if not case.noticed or case.notice_s < case.save_s:
        f = 0.0
    elif case.notice_s >= slowest:
        f = case.noticed
    else:
        return None
    try:
        repaired = M * math.exp(case.recovery_s / M)
        saved = T * math.exp(-(case.save_s - case.stall_s) / M) / math.expm1(L / M)
    except OverflowError:
        return 0.0
    gone = -math.expm1(-L / M)
    begun = s * math.expm1(-T / M) / math.expm1(-s / M) / gone
    worked = -M * math.expm1(-T / M) / gone
    # The rest of the stall that an interruption fell into.
    stalled = (case.stall_s * math.exp(-T / M) + M * (math.exp(-L / M) - math.exp(-T / M))) / gone
    rest = begun - worked + stalled
    return ((1 - f) * saved + f * begun) / (repaired + f * (rest + case.save_s))


def _summary(case: Case, groups: Groups, i: int) -> Simulated:
    work, clock = groups.done[i] * case.step_s, groups.clock[i]
    fraction = work.sum() / clock.sum()
    # Of a ratio of sums, to first order.
    spread = (work - fraction * clock).std(ddof=1) / np.sqrt(clock.size) / clock.mean()
    struck = groups.struck[i].sum()
    hours = case.steps * case.step_s / fraction / 3600 if fraction > 0 else math.inf
    return Simulated(
        goodput=float(fraction),
        goodput_se=float(spread),
        hours=float(hours),
        interruptions=float(struck / clock.sum() * hours * 3600) if fraction > 0 else math.inf,
        steps_lost=float(groups.lost[i].sum() / struck) if struck else 0.0,
        finished=float(1 - groups.working[i].mean()),
    )

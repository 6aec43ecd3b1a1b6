"""Simulates training under preemptions, event by event, for many runs at once.

The model is that of Daly (2006), in whole steps, with asynchronous saves (Vaidya 1997) and notices:

- A group of workers trains in steps. After every `save_every` steps a save begins. It stalls the
  group for `stall_s`, and commits `save_s` after its beginning, while the next steps are done.
- Interruptions of the group are a Poisson process, whose rate is that of one worker times the
  number of workers.
- Without a notice, the steps since the last committed save are lost. With a notice, the group ends
  its current step (or stall), stops and saves. If that takes no longer than the notice, no step is
  lost.
- Then the group recovers for `recovery_s`. An interruption during a recovery restarts the recovery.
- The work ends when its last save has been committed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_EVENTS = 2000
"""A simulated run is cut off after this many events; its goodput up to then is used."""


@dataclass(frozen=True)
class Case:
    """A group of workers and its work. All times are in seconds, and all rates per second."""

    steps: int
    step_s: float
    save_every: int
    """Number of steps from one save to the next."""
    stall_s: float
    save_s: float
    """Time from the beginning of a save to its commit: at least `stall_s`, at most `cycle_s`."""
    recovery_s: float
    interruptions_per_s: float
    """Rate of the interruptions of the whole group."""
    noticed: float = 0.0
    """Share of interruptions that are announced by a notice."""
    notice_s: float = 30.0
    """Time from a notice to the interruption."""

    @property
    def cycle_s(self) -> float:
        """Time from the beginning of one save to the beginning of the next."""
        return self.save_every * self.step_s + self.stall_s


@dataclass(frozen=True)
class Simulated:
    """The results of the simulated runs of a case, averaged over the runs."""

    goodput: float
    """The time of steps that count, divided by all time; both are summed over the runs."""
    goodput_se: float
    """Standard error of the goodput."""
    hours: float
    """Duration of the whole work (hours); extrapolated if runs were cut off."""
    interruptions: float
    """Number of interruptions during the whole work."""
    steps_lost: float
    """Number of steps lost per interruption."""
    finished: float
    """Share of runs that were simulated to the end of the work."""


def simulate(cases: Sequence[Case], runs: int, seed: int) -> list[Simulated]:
    """Simulate runs of every case.

    All cases use the same random numbers, so that their results differ only because of their
    figures. The result of a case does not depend on the other cases.

    Args:
        cases: the cases to simulate.
        runs: number of simulated runs of each case, at least 2.
        seed: seed of the random numbers.

    Returns:
        The result of each case.
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
        self.lost, self.interruptions = np.zeros(shape), np.zeros(shape)
        self.recovering = np.zeros(shape, bool)
        self.working = np.ones(shape, bool)

    def event(self, exponentials: Floats, uniforms: Floats) -> None:
        """Advance each run to its next interruption, the end of its recovery or of its work.

        A Poisson process has no memory, so the time to the next interruption may be drawn anew
        after each of these events.
        """
        with np.errstate(divide="ignore"):
            x = np.broadcast_to(exponentials / self.rate, self.clock.shape)
        down, up = self.working & self.recovering, self.working & ~self.recovering
        self.clock += np.where(down, np.minimum(x, self.recovery), 0.0)
        self.interruptions += down & (x < self.recovery)
        self.recovering &= ~(down & (x >= self.recovery))
        finish = self._finish()
        ends = up & (x >= finish)
        self.clock += np.where(ends, finish, 0.0)
        self.done = np.where(ends, self.n, self.done)
        self.working &= ~ends
        self._interrupt(up & ~ends, np.where(up & ~ends, x, 0.0), uniforms < self.noticed)

    def _finish(self) -> Floats:
        """Seconds until the last save commits, if there is no interruption."""
        left = self.n - self.done
        saves = np.maximum(np.ceil(left / self.k) - 1, 0)
        last = left * self.s + saves * self.stall
        one_before = np.where(saves > 0, saves * self.cycle - self.stall + self.save, 0.0)
        return np.maximum(last, one_before) + self.save

    def _interrupt(self, mask: NDArray[np.bool_], x: Floats, noticed: NDArray[np.bool_]) -> None:
        """Interrupt the runs in a mask, x seconds after they began or resumed."""
        left = self.n - self.done
        cycles = np.floor(x / self.cycle)
        within = x - cycles * self.cycle
        steps = np.minimum(cycles * self.k + np.minimum(np.floor(within / self.s), self.k), left)
        behind = self.save - self.stall
        saved = np.minimum(np.maximum(np.floor((x - behind) / self.cycle), 0) * self.k, left)
        working = (within < self.k * self.s) & (steps < left)
        next_step = np.minimum((np.floor(within / self.s) + 1) * self.s, self.k * self.s)
        rest = np.where(steps < left, np.where(working, next_step, self.cycle) - within, 0.0)
        kept = mask & noticed & (rest + self.save <= self.notice)
        lost = mask & ~kept
        self.done += np.where(kept, steps + working, np.where(lost, saved, 0.0))
        self.clock += np.where(mask, x, 0.0) + np.where(kept, rest + self.save, 0.0)
        self.lost += np.where(lost, steps - saved, 0.0)
        self.interruptions += mask
        over = kept & (self.done >= self.n)
        self.working &= ~over
        self.recovering |= mask & ~over


def expected_goodput(case: Case) -> float | None:
    """The goodput of unlimited work in closed form, which the simulation approaches.

    This is the complete model of Daly (2006). Let M be the mean time between failures, R the
    recovery time, and L the duration of a cycle, of which T is work. Between two failures a group
    trains for M seconds and recovers for `M (exp(R/M) - 1)` seconds on average, and it saves
    `1 / (exp(L/M) - 1)` cycles. The model here differs in two ways: a save commits B seconds after
    its stall, which divides the number of saved cycles by `exp(B/M)`, and an interruption with a
    notice saves all steps that were begun.

    Args:
        case: the case, as for `simulate`; its number of steps does not matter.

    Returns:
        The goodput; None if only some of the notices are long enough, because there is no closed
        form then.
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
    # The remaining time of a stall during which the interruption happened.
    stalled = (case.stall_s * math.exp(-T / M) + M * (math.exp(-L / M) - math.exp(-T / M))) / gone
    rest = begun - worked + stalled
    return ((1 - f) * saved + f * begun) / (repaired + f * (rest + case.save_s))


def _summary(case: Case, groups: Groups, i: int) -> Simulated:
    work, clock = groups.done[i] * case.step_s, groups.clock[i]
    fraction = work.sum() / clock.sum()
    # Standard error of a ratio of sums, to first order.
    se = (work - fraction * clock).std(ddof=1) / np.sqrt(clock.size) / clock.mean()
    count = groups.interruptions[i].sum()
    hours = case.steps * case.step_s / fraction / 3600 if fraction > 0 else math.inf
    return Simulated(
        goodput=float(fraction),
        goodput_se=float(se),
        hours=float(hours),
        interruptions=float(count / clock.sum() * hours * 3600) if fraction > 0 else math.inf,
        steps_lost=float(groups.lost[i].sum() / count) if count else 0.0,
        finished=float(1 - groups.working[i].mean()),
    )

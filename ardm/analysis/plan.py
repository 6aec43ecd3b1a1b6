"""What a job would take and cost on workers that vanish: tabulated ahead, from measured figures."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from ardm.analysis import goodput
from ardm.analysis.simulation import Case, Simulated, expected_goodput, simulate
from ardm.checkpoint.save_interval import choose, young
from ardm.errors import InputError
from ardm.store import registry
from ardm.store.run_directory import Run


@dataclass(frozen=True)
class Figures:
    """What a run measures of itself, in seconds. The defaults are plain assumptions."""

    step_s: float = 60.0
    """A step on one worker."""
    stall_s: float = 0.5
    """What a save takes from the training."""
    save_s: float = 5.0
    """From a save's beginning to its commit."""
    recovery_s: float = 60.0
    """From an interruption to the next new step: about 25 s where workers wait ready, and a VM's
    boot where they do not."""


@dataclass(frozen=True)
class Market:
    """The work, the machines and their prices."""

    hours: float = 2000.0
    """Of steps, on one worker."""
    overhead: float = 0.03
    """By which each doubling of the workers lengthens a step beyond its fair share."""
    noticed: float = 0.5
    """Share of preemptions that come with a notice."""
    notice_s: float = 30.0
    """Seconds of a notice: 30 on Google Cloud, 120 on AWS."""
    spot_price: float = 0.35
    """Per worker-hour; the default takes an hour on demand as the unit."""
    on_demand_price: float = 1.0


RATES = (0.005, 0.02, 0.1)
"""Preemptions per worker-hour: about 11 %, 38 % and 91 % of the machines in a day."""
WORKERS = (8, 64, 256)
INTERVALS = (10.0, 30.0, 120.0, 600.0)
"""Seconds between saves."""


def group_step_s(step_s: float, workers: int, overhead: float) -> float:
    """Seconds of a step on a group: its fair share, lengthened by each doubling of the workers.

    Args:
        step_s: on one worker.
        workers: in the group.
        overhead: per doubling.
    """
    return step_s / workers * (1.0 + overhead * math.log2(workers))


def measured(run: Run, overhead: float, defaults: Figures) -> tuple[Figures, float, list[str]]:
    """Figures of a run, from its ledger.

    Args:
        run: an existing one.
        overhead: per doubling of the workers, by which its steps are brought to one worker.
        defaults: for what the ledger does not tell yet.

    Returns:
        The figures; the hours of steps of the whole job on one worker; and the names of those
        figures that the ledger does not tell.

    Raises:
        NotFound: no such run.
        InputError: it has not done enough steps for their seconds to be known.
    """
    spec = registry.read_spec(run)
    found = goodput.records(run)
    told = goodput.accounts(found, found[-1].last_seen) if found else []
    steps = [
        account.step_s / group_step_s(1.0, account.workers, overhead)
        for account in told
        if account.step_s
    ]
    if not steps:
        raise InputError(
            f"run {run.name} has no attempt of two or more steps yet, so what a step takes is not "
            "known; wait for some, or give --step-seconds and leave out --run"
        )
    seen = {
        "stall_s": [stall for record in found for stall in record.stalls],
        "save_s": [save.seconds for record in found for save in record.saves],
        "recovery_s": _recoveries(found),
    }
    known = {name: round(median(values), 3) for name, values in seen.items() if values}
    figures = replace(defaults, step_s=round(median(steps), 4), **known)
    figures = replace(figures, stall_s=min(figures.stall_s, figures.save_s))
    hours = spec.training.steps * figures.step_s / 3600
    return figures, hours, [name for name in seen if name not in known]


def plan(
    figures: Figures,
    market: Market,
    rates: Sequence[float] = RATES,
    intervals: Sequence[float] = INTERVALS,
    workers: Sequence[int] = WORKERS,
    runs: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Simulate a job for every rate, number of workers and interval.

    Args:
        figures: of the job.
        market: it is done in.
        rates: preemptions per worker-hour.
        intervals: seconds between saves; the one that `interval: auto` takes is added.
        workers: numbers of workers.
        runs: simulated runs of each case.
        seed: of the random numbers.

    Returns:
        A JSON value: the arguments, and `rows`, one for each rate and number of workers, each with
        its `cells`, one for each interval, and `best`, the index of the one of most goodput.
    """
    groups = [(rate, count) for rate in rates for count in workers]
    cases = [
        [_case(figures, market, rate, count, seconds) for seconds in (*intervals, None)]
        for rate, count in groups
    ]
    told = simulate([case for row in cases for case in row], runs, seed)
    width = len(intervals) + 1
    return {
        "figures": asdict(figures),
        "market": asdict(market),
        "runs": runs,
        "seed": seed,
        "rows": [
            _row(market, rate, count, row, told[i * width : (i + 1) * width])
            for i, ((rate, count), row) in enumerate(zip(groups, cases, strict=True))
        ],
    }


def _case(
    figures: Figures, market: Market, rate: float, workers: int, interval: float | None
) -> Case:
    """A case; without an interval, with the one that `interval: auto` comes to."""
    step_s = group_step_s(figures.step_s, workers, market.overhead)
    per_s = rate * workers / 3600
    if interval is None:
        mtbf = 1 / per_s if per_s else math.inf
        interval = choose(figures.stall_s, figures.save_s, mtbf)
    # A save begins at the end of a step, and when the one before is committed.
    work = max(interval, figures.save_s) - figures.stall_s
    return Case(
        steps=max(round(market.hours * 3600 / figures.step_s), 1),
        step_s=step_s,
        save_every=max(math.ceil(work / step_s - 1e-9), 1),
        stall_s=figures.stall_s,
        save_s=figures.save_s,
        recovery_s=figures.recovery_s,
        interruptions_per_s=per_s,
        noticed=market.noticed,
        notice_s=market.notice_s,
    )


def _row(
    market: Market, rate: float, workers: int, cases: Sequence[Case], told: Sequence[Simulated]
) -> dict[str, Any]:
    case = cases[0]
    per_s = case.interruptions_per_s
    hours = case.steps * case.step_s / 3600
    cells = [_cell(market, workers, *pair) for pair in zip(cases, told, strict=True)]
    return {
        "rate": rate,
        "workers": workers,
        "mtbf_s": 1 / per_s if per_s else None,
        "step_s": case.step_s,
        "young_s": young(case.stall_s, 1 / per_s) if per_s else None,
        "on_demand": {"hours": hours, "cost": hours * workers * market.on_demand_price},
        "cells": cells,
        "auto": cells[-1],
        "best": max(range(len(cells)), key=lambda i: cells[i]["goodput"]),
    }


def _cell(market: Market, workers: int, case: Case, told: Simulated) -> dict[str, Any]:
    cost = told.hours * workers * market.spot_price
    return {
        "interval_s": round(case.cycle_s, 3),
        "goodput": told.goodput,
        "goodput_se": told.goodput_se,
        "expected": expected_goodput(case),
        "hours": _finite(told.hours),
        "interruptions": _finite(told.interruptions),
        "steps_lost": told.steps_lost,
        "cost": _finite(cost),
        "finished": told.finished,
    }


def _finite(value: float) -> float | None:
    """JSON knows no infinity: what never ends has no hours."""
    return value if math.isfinite(value) else None


def _recoveries(found: Sequence[goodput.AttemptRecord]) -> list[float]:
    """Seconds from each interruption to the beginning of the first step after it."""
    gaps = []
    for before, after in itertools.pairwise(found):
        interrupted = before.outcome is not None and before.outcome.was_interrupted
        same = before.submission == after.submission
        if interrupted and same and after.trains_from is not None:
            end = goodput.end_of(before, after, after.began)
            gaps.append(after.trains_from - end + after.compile_s)
    return gaps

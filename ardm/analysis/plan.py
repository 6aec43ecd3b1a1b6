"""Predicts the time and the cost of a job on preemptible workers, from measured figures."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import median
from typing import Any

from ardm.analysis import goodput
from ardm.analysis.assumptions import INTERVALS, RATES, WORKERS, Figures, Market
from ardm.analysis.simulation import Case, Simulated, expected_goodput, simulate
from ardm.checkpoint.save_interval import choose, young
from ardm.errors import InputError
from ardm.store import registry
from ardm.store.run_directory import Run


def group_step_s(step_s: float, workers: int, overhead: float) -> float:
    """The duration of a step on several workers (seconds).

    Args:
        step_s: duration of a step on one worker (seconds).
        workers: number of workers.
        overhead: each doubling of the workers makes a step longer by this share of its ideal
            duration `step_s / workers`.
    """
    return step_s / workers * (1.0 + overhead * math.log2(workers))


def measured(run: Run, overhead: float, defaults: Figures) -> tuple[Figures, float, list[str]]:
    """Read the figures of a run from its event log.

    Args:
        run: an existing run.
        overhead: overhead per doubling of the workers (see `group_step_s`), by which the measured
            step times are converted to one worker.
        defaults: values of the figures that the event log does not contain yet.

    Returns:
        The figures; the duration of all steps of the job on one worker (hours); and the names of
        the figures that the event log does not contain.

    Raises:
        NotFound: there is no such run.
        InputError: the run has done too few steps for their duration to be known.
    """
    spec = registry.read_spec(run)
    records = goodput.records(run)
    accounts = goodput.accounts(records, records[-1].last_seen) if records else []
    step_s = [
        account.step_s / group_step_s(1.0, account.workers, overhead)
        for account in accounts
        if account.step_s
    ]
    if not step_s:
        raise InputError(
            f"run {run.name} has no attempt of two or more steps yet, so the duration of a step is "
            "not known; wait for more steps, or give --step-seconds and leave out --run"
        )
    measurements = {
        "stall_s": [stall for record in records for stall in record.stalls],
        "save_s": [save.seconds for record in records for save in record.saves],
        "recovery_s": _recoveries(records),
    }
    known = {name: round(median(values), 3) for name, values in measurements.items() if values}
    figures = replace(defaults, step_s=round(median(step_s), 4), **known)
    figures = replace(figures, stall_s=min(figures.stall_s, figures.save_s))
    hours = spec.training.steps * figures.step_s / 3600
    return figures, hours, [name for name in measurements if name not in known]


def plan(
    figures: Figures,
    market: Market,
    rates: Sequence[float] = RATES,
    intervals: Sequence[float] = INTERVALS,
    workers: Sequence[int] = WORKERS,
    runs: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Simulate a job for every combination of preemption rate, number of workers and interval.

    Args:
        figures: the measured or assumed figures of the job.
        market: the amount of work, the machines and their prices.
        rates: preemptions per worker-hour.
        intervals: times between saves (seconds); the interval that `interval: auto` would choose
            is added to them.
        workers: numbers of workers.
        runs: number of simulated runs of each case.
        seed: seed of the random numbers.

    Returns:
        A JSON value: the arguments, and `rows`, one for each rate and number of workers. A row has
        `cells`, one for each interval, and `best`, the index of the cell with the most goodput.
    """
    groups = [(rate, count) for rate in rates for count in workers]
    cases = [
        [_case(figures, market, rate, count, seconds) for seconds in (*intervals, None)]
        for rate, count in groups
    ]
    results = simulate([case for row in cases for case in row], runs, seed)
    width = len(intervals) + 1
    return {
        "figures": asdict(figures),
        "market": asdict(market),
        "runs": runs,
        "seed": seed,
        "rows": [
            _row(market, rate, count, row, results[i * width : (i + 1) * width])
            for i, ((rate, count), row) in enumerate(zip(groups, cases, strict=True))
        ],
    }


def _case(
    figures: Figures, market: Market, rate: float, workers: int, interval: float | None
) -> Case:
    """The case to simulate; if the interval is None, with that of `interval: auto`."""
    step_s = group_step_s(figures.step_s, workers, market.overhead)
    per_s = rate * workers / 3600
    if interval is None:
        mtbf = 1 / per_s if per_s else math.inf
        interval = choose(figures.stall_s, figures.save_s, mtbf)
    # A save begins at the end of a step, and not before the previous save is committed.
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
    market: Market, rate: float, workers: int, cases: Sequence[Case], results: Sequence[Simulated]
) -> dict[str, Any]:
    case = cases[0]
    per_s = case.interruptions_per_s
    hours = case.steps * case.step_s / 3600
    cells = [_cell(market, workers, *pair) for pair in zip(cases, results, strict=True)]
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


def _cell(market: Market, workers: int, case: Case, result: Simulated) -> dict[str, Any]:
    cost = result.hours * workers * market.spot_price
    return {
        "interval_s": round(case.cycle_s, 3),
        "goodput": result.goodput,
        "goodput_se": result.goodput_se,
        "expected": expected_goodput(case),
        "hours": _finite(result.hours),
        "interruptions": _finite(result.interruptions),
        "steps_lost": result.steps_lost,
        "cost": _finite(cost),
        "finished": result.finished,
    }


def _finite(value: float) -> float | None:
    """None instead of infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def _recoveries(attempts: Sequence[goodput.AttemptRecord]) -> list[float]:
    """Times from each interruption to the beginning of the next new step (seconds)."""
    gaps = []
    for before, after in itertools.pairwise(attempts):
        interrupted = before.outcome is not None and before.outcome.was_interrupted
        same = before.submission == after.submission
        if interrupted and same and after.trains_from is not None:
            end = goodput.end_of(before, after, after.began)
            gaps.append(after.trains_from - end + after.compile_s)
    return gaps

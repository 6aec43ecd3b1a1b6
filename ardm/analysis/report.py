"""The report of a run: how its time was spent, its interruptions, its saves and its cost."""

import time
from statistics import mean, median
from typing import Any

from ardm.analysis import goodput
from ardm.checkpoint import save_interval
from ardm.events.events import Outcome
from ardm.store import registry
from ardm.store.claims import stale_s
from ardm.store.run_directory import Run


def report(
    run: Run, on_demand_price: float | None = None, now: float | None = None
) -> dict[str, Any]:
    """Report on a run.

    Args:
        run: an existing run.
        on_demand_price: price per worker-hour of on-demand machines; if it is given, the report
            contains what the productive time would have cost on them.
        now: the present time (seconds since 1970); None reads the clock.

    Returns:
        The object that `ardm report --json` prints: `goodput` as of `goodput.goodput`,
        `skipped_steps`, `evaluation_s` (a part of the productive time), `interruptions`, `saves`,
        `cost` (None if neither the job nor `on_demand_price` gives a price) and `attempts`.

    Raises:
        NotFound: there is no such run.
    """
    spec = registry.read_spec(run)
    now = time.time() if now is None else now
    records = goodput.records(run)
    if records and now - records[-1].last_seen > stale_s(records[-1].beat_s):
        now = records[-1].last_seen
    accounts = goodput.accounts(records, now)
    return {
        "run": run.name,
        "job": spec.job,
        "steps": records[-1].last_step or 0 if records else 0,
        "total_steps": spec.training.steps,
        "goodput": goodput.goodput(records, now),
        "skipped_steps": goodput.skipped_steps(records),
        "evaluation_s": round(sum(r.evaluations_s for r in records), 1),
        "interruptions": _interruptions(records),
        "saves": _saves(records),
        "cost": _cost(accounts, spec.scaling.price_per_worker_hour, on_demand_price),
        "attempts": [_attempt(*pair) for pair in zip(records, accounts, strict=True)],
    }


def _interruptions(records: list[goodput.AttemptRecord]) -> dict[str, Any]:
    interrupted = [r for r in records if r.outcome and r.outcome.was_interrupted]
    lost = [r.steps_lost for r in interrupted]
    workers = records[-1].workers if records else 1
    return {
        "count": len(interrupted),
        "noticed": sum(r.outcome == Outcome.PREEMPTED for r in interrupted),
        "steps_lost": lost,
        "mean_steps_lost": round(mean(r.steps_lost for r in interrupted), 2)
        if interrupted
        else None,
        "mtbf_s": round(save_interval.interruptions(records, workers).mtbf(), 1),
    }


def _saves(records: list[goodput.AttemptRecord]) -> dict[str, Any]:
    saves = [save for record in records for save in record.saves]
    stalls = [stall for record in records for stall in record.stalls]
    return {
        "count": sum(record.save_count for record in records),
        "failed": sum(record.saves_failed for record in records),
        "median_s": round(median(s.seconds for s in saves), 3) if saves else None,
        "median_stall_s": round(median(stalls), 3) if stalls else None,
        "bytes": round(median(s.bytes for s in saves)) if saves else None,
        "interval_s": saves[-1].interval_s if saves else None,
        "total_bytes": sum(record.save_bytes for record in records),
    }


def _cost(
    accounts: list[goodput.Account], price: float | None, on_demand_price: float | None
) -> dict[str, Any] | None:
    """The cost of the time in which attempts lived; the time between them is not paid for."""
    paid = sum(a.alive_s * a.workers for a in accounts) / 3600
    productive = sum(a.productive_s * a.workers for a in accounts) / 3600
    if price is None and on_demand_price is None:
        return None
    return {
        "worker_hours": round(paid, 4),
        "productive_worker_hours": round(productive, 4),
        "price_per_worker_hour": price,
        "total": None if price is None else round(paid * price, 4),
        "on_demand_price": on_demand_price,
        "on_demand_total": None
        if on_demand_price is None
        else round(productive * on_demand_price, 4),
    }


def _attempt(record: goodput.AttemptRecord, account: goodput.Account) -> dict[str, Any]:
    return {
        "attempt": record.attempt,
        "outcome": record.outcome,
        "workers": record.workers,
        "first_step": record.first_step,
        "last_step": record.last_step,
        "steps_lost": record.steps_lost,
        "alive_s": round(account.alive_s, 1),
        "productive_s": round(account.productive_s, 1),
        "step_s": None if account.step_s is None else round(account.step_s, 4),
        "badput": {cause: round(seconds, 1) for cause, seconds in account.badput.items()},
    }

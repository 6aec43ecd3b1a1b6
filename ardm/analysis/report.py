"""What a run has come to: where its time went, what its interruptions and saves cost, its price."""

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
    """Account for a run.

    Args:
        run: an existing one.
        on_demand_price: per worker-hour; what the productive time would have cost is added.
        now: seconds since 1970; default: the time of day.

    Returns:
        The object that `ardm report --json` prints: `goodput` as of `goodput.goodput`,
        `skipped_steps`, `evaluation_s` (which is productive), `interruptions`, `saves`, `cost`
        (None if the job names no price) and `attempts` with the seconds of each.

    Raises:
        NotFound: no such run.
    """
    spec = registry.read_spec(run)
    now = time.time() if now is None else now
    found = goodput.records(run)
    if found and now - found[-1].last_seen > stale_s(found[-1].beat_s):
        now = found[-1].last_seen
    told = goodput.accounts(found, now)
    return {
        "run": run.name,
        "job": spec.job,
        "steps": found[-1].last_step or 0 if found else 0,
        "total_steps": spec.training.steps,
        "goodput": goodput.goodput(found, now),
        "skipped_steps": goodput.skipped_steps(found),
        "evaluation_s": round(sum(r.evaluations_s for r in found), 1),
        "interruptions": _interruptions(found),
        "saves": _saves(found),
        "cost": _cost(told, spec.scaling.price_per_worker_hour, on_demand_price),
        "attempts": [_attempt(*pair) for pair in zip(found, told, strict=True)],
    }


def _interruptions(found: list[goodput.AttemptRecord]) -> dict[str, Any]:
    struck = [r for r in found if r.outcome and r.outcome.was_interrupted]
    workers = found[-1].workers if found else 1
    return {
        "count": len(struck),
        "noticed": sum(r.outcome == Outcome.PREEMPTED for r in struck),
        "steps_lost": [r.steps_lost for r in struck],
        "mean_steps_lost": round(mean(r.steps_lost for r in struck), 2) if struck else None,
        "mtbf_s": round(save_interval.interruptions(found, workers).mtbf(), 1),
    }


def _saves(found: list[goodput.AttemptRecord]) -> dict[str, Any]:
    saves = [save for record in found for save in record.saves]
    stalls = [stall for record in found for stall in record.stalls]
    return {
        "count": sum(record.save_count for record in found),
        "failed": sum(record.saves_failed for record in found),
        "median_s": round(median(s.seconds for s in saves), 3) if saves else None,
        "median_stall_s": round(median(stalls), 3) if stalls else None,
        "bytes": round(median(s.bytes for s in saves)) if saves else None,
        "interval_s": saves[-1].interval_s if saves else None,
        "total_bytes": sum(record.save_bytes for record in found),
    }


def _cost(
    told: list[goodput.Account], price: float | None, on_demand_price: float | None
) -> dict[str, Any] | None:
    """Worker-hours under way are paid for; the time between attempts is not."""
    paid = sum(a.alive_s * a.workers for a in told) / 3600
    productive = sum(a.productive_s * a.workers for a in told) / 3600
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

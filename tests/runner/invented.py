"""Runs with an invented past, written through the real ledger."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ardm.events.event_log import EventLog
from ardm.job.spec import JobSpec
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store


def new_run(folder: Path, **sections: Any) -> Run:
    """A run that no attempt has begun on."""
    run = Run(Store(str(folder)), "invented")
    spec = JobSpec.model_validate_json(json.dumps({"job": "invented", **sections}))
    registry.open_run(run, spec, datetime(2025, 1, 1, tzinfo=UTC))
    return run


def add_attempt(
    run: Run,
    *events: tuple[float, str, dict[str, Any]],
    began: float,
    claimed: float | None = None,
    workers: int = 1,
    progress: tuple[float, int] | None = None,
    **about: Any,
) -> int:
    """Write an attempt.

    Args:
        run: the run.
        events: time, kind and fields of each.
        began: seconds since 1970.
        claimed: likewise; default: at once.
        workers: in its group.
        progress: time and step of its last sign of life.
        about: further fields of the claim.
    """
    number = len(run.attempts()) + 1
    claim = {"time": began if claimed is None else claimed, "began": began, "workers": workers}
    run.store.create(run.claim(number), json.dumps(claim | about).encode())
    now = began
    ledger = EventLog(run, number, clock=lambda: now)
    for now, kind, fields in events:  # noqa: B007
        ledger.add(kind, **fields)
    ledger.flush()
    if progress:
        told = {"time": progress[0], "step": progress[1]}
        run.store.write(run.progress(number), json.dumps(told).encode())
    return number


def started(time: float, seconds: float) -> tuple[float, str, dict[str, Any]]:
    return time, "started", {"step": 0, "seconds": seconds}


def restored(time: float, step: int, seconds: float) -> tuple[float, str, dict[str, Any]]:
    return time, "restored", {"step": step, "seconds": seconds}


def first_step(
    time: float, step: int, seconds: float, compile_s: float
) -> tuple[float, str, dict[str, Any]]:
    return time, "first_step", {"step": step, "seconds": seconds, "compile_s": compile_s}


def saved(time: float, step: int, seconds: float) -> tuple[float, str, dict[str, Any]]:
    fields = {"step": step, "seconds": seconds, "bytes": 1000, "digest": "d", "interval": 30.0}
    return time, "saved", fields


def stalled(time: float, seconds: float) -> tuple[float, str, dict[str, Any]]:
    return time, "stalled", {"step": 1, "seconds": seconds}


def ended(time: float, step: int, outcome: str) -> tuple[float, str, dict[str, Any]]:
    return time, "ended", {"outcome": outcome, "step": step, "reason": "", "detail": ""}

"""Runs with an invented past, written through the real event log."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.events.events import Event, Outcome
from ardm.job.spec import JobSpec
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store


def new_run(folder: Path, name: str = "invented", **sections: Any) -> Run:
    """A run that no attempt has begun on."""
    run = Run(Store(str(folder)), name)
    spec = JobSpec.model_validate_json(json.dumps({"job": "invented", **sections}))
    registry.open_run(run, spec, datetime(2025, 1, 1, tzinfo=UTC))
    return run


def add_attempt(
    run: Run,
    *events: Event,
    began: float,
    claimed: float | None = None,
    workers: int = 1,
    progress: tuple[float, int] | None = None,
    **metadata: Any,
) -> int:
    """Write an attempt.

    Args:
        run: the run.
        events: with their times.
        began: seconds since 1970.
        claimed: likewise; default: at once.
        workers: in its group.
        progress: time and step of its last sign of life.
        metadata: further fields of the claim.
    """
    number = len(run.attempts()) + 1
    claim = {"time": began if claimed is None else claimed, "began": began, "workers": workers}
    run.store.create(run.claim(number), json.dumps(claim | metadata).encode())
    event_log = EventLog(run, number)
    for event in events:
        event_log.add(event)
    event_log.flush()
    if progress:
        fields = {"time": progress[0], "step": progress[1]}
        run.store.write(run.progress(number), json.dumps(fields).encode())
    return number


def started(time: float, seconds: float) -> kinds.Started:
    return kinds.Started(time=time, step=0, seconds=seconds)


def restored(time: float, step: int, seconds: float) -> kinds.Restored:
    return kinds.Restored(time=time, step=step, seconds=seconds)


def first_step(time: float, step: int, seconds: float, compile_s: float) -> kinds.FirstStep:
    return kinds.FirstStep(time=time, step=step, seconds=seconds, compile_s=compile_s)


def saved(time: float, step: int, seconds: float) -> kinds.Saved:
    return kinds.Saved(time=time, step=step, seconds=seconds, bytes=1000, digest="d", interval=30.0)


def stalled(time: float, seconds: float) -> kinds.Stalled:
    return kinds.Stalled(time=time, step=1, seconds=seconds)


def ended(time: float, step: int, outcome: str) -> kinds.Ended:
    return kinds.Ended(time=time, outcome=Outcome(outcome), step=step)

"""What a run is doing, from the store alone; the cluster's word is added where there is one."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ardm.analysis import goodput
from ardm.checkpoint import checkpoints, restore
from ardm.checkpoint.checkpoints import Checkpoint, Unfinished
from ardm.errors import Unreadable
from ardm.runner.environment import Change, latest_changes
from ardm.store import registry
from ardm.store.claims import silence, stale_s
from ardm.store.run_directory import Run

SERVER_PATIENCE = 60.0
"""Seconds after a submission for which a job server that does not answer may still begin it."""

_OF_PROGRESS = ("starting", "training", "saving", "draining")
"""States that an attempt gives itself while it lives."""


def status(run: Run, ray: dict[str, Any], *, verify: bool = True) -> dict[str, Any]:
    """Describe a run.

    Args:
        run: an existing one.
        ray: what is noted of the newest submission (`address`, `submission_id`, `submitted`,
            `after`), and the job server's `status`; each may be missing or None.
        verify: read the newest checkpoint and check its digest; without, its word is taken.

    Returns:
        The object that `ardm status --json` prints.

    Raises:
        NotFound: no such run.
    """
    spec, now = registry.read_spec(run), time.time()
    found = goodput.records(run)
    number = found[-1].attempt if found else None
    progress = (run.store.read_record(run.progress(number)) if number else None) or {}
    silent = 0.0
    if found and found[-1].outcome is None:
        last = found[-1]
        silent = silence(run, last.attempt, last.last_seen, now, stale_s(last.beat_s))
    state, reason = _waiting(number or 0, ray, now) or _state(
        found, progress, ray.get("status"), silent
    )
    live = state in ("training", "saving")
    changed = _changed(found)
    checkpoint, digest, skipped = _checkpoint(run, now, verify=verify)
    return {
        "run": run.name,
        "job": spec.job,
        "uri": run.uri,
        "state": state,
        "reason": reason,
        "step": progress.get("step") or (checkpoint or {}).get("step", 0),
        "total_steps": spec.training.steps,
        "digest": digest,
        "checkpoint": checkpoint,
        "skipped": skipped,
        "attempts": [_attempt(record) for record in found],
        "metrics": _metrics(found, progress),
        "steps_per_s": progress.get("steps_per_s") if live else None,
        "eta_s": progress.get("eta_s") if live else None,
        "save_error": progress.get("save_error"),
        "goodput": goodput.goodput(found, now if live or state == "starting" else _end(found)),
        "skipped_steps": goodput.skipped_steps(found),
        "learning_rate_change": next(
            (asdict(record.rate_change) for record in reversed(found) if record.rate_change), None
        ),
        "changed": list(changed),
        "changes": [change._asdict() for some in changed.values() for change in some],
        "workers_differ": found[-1].workers_differ if found else [],
        "ray": {key: ray.get(key) for key in ("address", "submission_id", "status")},
    }


def _end(found: list[goodput.AttemptRecord]) -> float:
    return (found[-1].ended or found[-1].last_seen) if found else time.time()


def _waiting(number: int, ray: dict[str, Any], now: float) -> tuple[str, str] | None:
    """The state of a run whose newest submission has made no attempt; None for any other run.

    How an earlier attempt ended says nothing about the submission after it.
    """
    after, job = ray.get("after"), ray.get("status")
    if after is None or number > after:
        return None
    if job in ("FAILED", "STOPPED"):
        return ("failed" if job == "FAILED" else "stopped"), f"the Ray job is {job}"
    unheard = job is None and now - (ray.get("submitted") or 0.0) < SERVER_PATIENCE
    if job in ("PENDING", "RUNNING") or unheard:
        return "queued", f"submission {ray.get('submission_id')} has made no attempt so far"
    return None


def _state(
    found: list[goodput.AttemptRecord], progress: dict[str, Any], job: str | None, silent: float
) -> tuple[str, str]:
    """The state of the run and one line on why."""
    running = job in ("PENDING", "RUNNING")
    if not found:
        if job in ("FAILED", "STOPPED"):
            return ("failed" if job == "FAILED" else "stopped"), f"the Ray job is {job}"
        return "queued", "no attempt has begun"
    last = found[-1]
    if last.outcome is None:
        if silent < stale_s(last.beat_s):
            state = progress.get("state")
            return (state if state in _OF_PROGRESS else "starting"), ""
        if running:
            return "recovering", f"attempt {last.attempt} is silent for {silent:.0f} s"
        return "stopped", (
            f"attempt {last.attempt} ended without a word {silent:.0f} s ago; "
            "submit the run again to go on"
        )
    if running and not last.outcome.ends_the_job:
        return "recovering", last.reason
    return last.outcome.state, last.reason


def _checkpoint(
    run: Run, now: float, *, verify: bool
) -> tuple[dict[str, Any] | None, str | None, list[dict[str, Any]]]:
    skipped: list[dict[str, Any]] = []

    def skip(checkpoint: Checkpoint, reason: Exception) -> None:
        if not isinstance(reason, Unfinished):
            skipped.append(
                {"step": checkpoint.step, "attempt": checkpoint.attempt, "reason": str(reason)}
            )

    def look(checkpoint: Checkpoint) -> tuple[int, dict[str, Any]]:
        size = sum(run.store.files(checkpoint.name).values())
        read = checkpoints.verify if verify else checkpoints.metadata
        return size, checkpoints.guarded(checkpoint, read)

    try:
        newest = restore.newest_usable(run, look, skip)
    except Unreadable:
        newest = None
    if newest is None:
        return None, None, skipped
    checkpoint, size, metadata = newest
    shown = {
        "step": checkpoint.step,
        "attempt": checkpoint.attempt,
        "uri": checkpoint.uri,
        "age_s": round(max(now - metadata["time"], 0.0), 1),
        "bytes": size,
    }
    return shown, metadata["digest"], skipped


def _attempt(record: goodput.AttemptRecord) -> dict[str, Any]:
    return {
        "attempt": record.attempt,
        "outcome": record.outcome,
        "reason": record.reason,
        "workers": record.workers,
        "first_step": record.first_step,
        "last_step": record.last_step,
        "steps_lost": record.steps_lost,
        "started": _iso(record.started),
        "ended": _iso(record.ended),
    }


def _metrics(found: list[goodput.AttemptRecord], progress: dict[str, Any]) -> dict[str, Any]:
    metrics: dict[str, Any] = {"train_nelbo_bpd": progress.get("train_nelbo_bpd")}
    newest_first = list(reversed(found))
    for split, events in (
        ("valid", (record.validated for record in newest_first)),
        ("test", (record.evaluated for record in newest_first)),
    ):
        event = next((event for event in events if event), None)
        metrics[f"{split}_nelbo_bpd"] = event and event.nelbo_bpd
        metrics[f"{split}_nelbo_se"] = event and event.se_bpd
        metrics[f"{split}_step"] = event and event.step
    return metrics


def _changed(found: list[goodput.AttemptRecord]) -> dict[str, list[Change]]:
    """What differs between attempts and voids the promise of equal bits: the latest changes."""
    return latest_changes(
        [r.claim | ({"data": r.data} if r.data else {}) for r in found if r.claim]
    )


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

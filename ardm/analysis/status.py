"""The status of a run, read from its store; the status of its Ray job is added if it is known."""

import time
from dataclasses import asdict
from typing import Any

from ardm.analysis import goodput
from ardm.checkpoint import checkpoints, restore
from ardm.checkpoint.checkpoints import Checkpoint, Unfinished
from ardm.data.config import medium
from ardm.errors import Unreadable
from ardm.events import events
from ardm.runner.environment import Change, latest_changes
from ardm.store import registry
from ardm.store.claims import silence, stale_s
from ardm.store.run_directory import Run

SUBMISSION_GRACE_S = 60.0
"""For this long after a submission, a run counts as queued even if the job server does not answer
(seconds)."""

_LIVING_STATES = ("starting", "training", "saving", "draining")
"""States that a living attempt reports."""


def status(run: Run, ray: dict[str, Any], *, verify: bool = True) -> dict[str, Any]:
    """Describe the present state of a run.

    Args:
        run: an existing run.
        ray: the record of the newest submission (`address`, `submission_id`, `submitted`, `after`),
            and the `status` of its job on the job server; each may be missing or None.
        verify: whether to read the newest checkpoint and verify its digest. Otherwise the digest is
            taken from its metadata.

    Returns:
        The object that `ardm status --json` prints.

    Raises:
        NotFound: there is no such run.
    """
    spec, now = registry.read_spec(run), time.time()
    records = goodput.records(run)
    number = records[-1].attempt if records else None
    progress = run.read_progress(number) if number else {}
    silent = 0.0
    if records and records[-1].outcome is None:
        last = records[-1]
        silent = silence(run, last.attempt, last.last_seen, now, stale_s(last.beat_s))
    state, reason = _waiting(number or 0, ray, now) or _state(
        records, progress, ray.get("status"), silent
    )
    live = state in ("training", "saving")
    changed = _changed(records)
    checkpoint, digest, skipped = _checkpoint(run, now, verify=verify)
    return {
        "run": run.name,
        "job": spec.job,
        "uri": run.uri,
        "state": state,
        "reason": reason,
        "step": events.whole(progress, "step") or (checkpoint or {}).get("step", 0),
        "total_steps": spec.training.steps,
        "digest": digest,
        "checkpoint": checkpoint,
        "skipped": skipped,
        "attempts": [_attempt(record) for record in records],
        "metrics": _metrics(records, progress),
        "unit": medium(spec.data).unit,
        "steps_per_s": events.number(progress, "steps_per_s") if live else None,
        "eta_s": events.number(progress, "eta_s") if live else None,
        "save_error": events.text(progress, "save_error"),
        "goodput": goodput.goodput(records, now if live or state == "starting" else _end(records)),
        "skipped_steps": goodput.skipped_steps(records),
        "learning_rate_change": next(
            (asdict(record.rate_change) for record in reversed(records) if record.rate_change), None
        ),
        "changed": list(changed),
        "changes": [change._asdict() for changes in changed.values() for change in changes],
        "workers_differ": records[-1].workers_differ if records else [],
        "ray": {key: ray.get(key) for key in ("address", "submission_id", "status")},
    }


def _end(records: list[goodput.AttemptRecord]) -> float:
    return (records[-1].ended or records[-1].last_seen) if records else time.time()


def _waiting(number: int, ray: dict[str, Any], now: float) -> tuple[str, str] | None:
    """The state of a run whose newest submission has not begun an attempt; None for other runs.

    The outcome of an earlier attempt says nothing about a submission after it.
    """
    after, job = ray.get("after"), ray.get("status")
    if after is None or number > after:
        return None
    if job in ("FAILED", "STOPPED"):
        return ("failed" if job == "FAILED" else "stopped"), f"the Ray job is {job}"
    unanswered = job is None and now - (ray.get("submitted") or 0.0) < SUBMISSION_GRACE_S
    if job in ("PENDING", "RUNNING") or unanswered:
        return "queued", f"submission {ray.get('submission_id')} has not begun an attempt yet"
    return None


def _state(
    records: list[goodput.AttemptRecord], progress: dict[str, Any], job: str | None, silent: float
) -> tuple[str, str]:
    """The state of the run, and the reason in one line."""
    running = job in ("PENDING", "RUNNING")
    if not records:
        if job in ("FAILED", "STOPPED"):
            return ("failed" if job == "FAILED" else "stopped"), f"the Ray job is {job}"
        return "queued", "no attempt has begun"
    last = records[-1]
    if last.outcome is None:
        if silent < stale_s(last.beat_s):
            reported = progress.get("state")
            return (reported if reported in _LIVING_STATES else "starting"), ""
        if running:
            return "recovering", f"attempt {last.attempt} has sent no heartbeat for {silent:.0f} s"
        return "stopped", (
            f"attempt {last.attempt} has sent no heartbeat for {silent:.0f} s; "
            "submit the run again to continue"
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
            entry = {"step": checkpoint.step, "attempt": checkpoint.attempt, "reason": str(reason)}
            skipped.append(entry)

    def read_size_and_metadata(checkpoint: Checkpoint) -> tuple[int, dict[str, Any]]:
        size = sum(run.store.files(checkpoint.name).values())
        read = checkpoints.verify if verify else checkpoints.metadata
        return size, checkpoints.guarded(checkpoint, read)

    try:
        newest = restore.newest_usable(run, read_size_and_metadata, skip)
    except Unreadable:
        newest = None
    if newest is None:
        return None, None, skipped
    checkpoint, size, metadata = newest
    description = {
        "step": checkpoint.step,
        "attempt": checkpoint.attempt,
        "uri": checkpoint.uri,
        "age_s": round(max(now - metadata["time"], 0.0), 1),
        "bytes": size,
    }
    return description, metadata["digest"], skipped


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


def _metrics(records: list[goodput.AttemptRecord], progress: dict[str, Any]) -> dict[str, Any]:
    metrics: dict[str, Any] = {"train_nelbo_bpd": events.number(progress, "train_nelbo_bpd")}
    newest_first = list(reversed(records))
    for split, found in (
        ("valid", (record.validated for record in newest_first)),
        ("test", (record.evaluated for record in newest_first)),
    ):
        event = next((event for event in found if event), None)
        metrics[f"{split}_nelbo_bpd"] = event and event.nelbo_bpd
        metrics[f"{split}_nelbo_se"] = event and event.se_bpd
        metrics[f"{split}_step"] = event and event.step
    return metrics


def _changed(records: list[goodput.AttemptRecord]) -> dict[str, list[Change]]:
    """The latest changes between attempts that void the promise of bitwise equal results."""
    return latest_changes(
        [r.claim | ({"data": r.data} if r.data else {}) for r in records if r.claim]
    )


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return registry.utc(seconds).isoformat(timespec="seconds")

"""Goodput of a run: the part of its wall time that went into steps that count."""

from dataclasses import dataclass
from typing import Any

from ardm.runs import ledger
from ardm.runs.layout import Run


@dataclass
class AttemptRecord:
    """What the store tells of one attempt; steps are counts of finished steps."""

    attempt: int
    outcome: str | None
    """None while it lives, or if it ended without a word and none follows."""
    reason: str
    workers: int
    first_step: int | None
    """Step of the checkpoint it began with."""
    last_step: int | None
    steps_lost: int
    """Steps that a later attempt had to do again."""
    started: float
    ended: float | None
    first_step_s: float = 0.0
    """Seconds of the first step, which compiles."""
    start_up_s: float = 0.0
    """Seconds from the claim to the beginning of the first step."""
    evaluation_s: float = 0.0
    last_seen: float = 0.0


def records(run: Run) -> list[AttemptRecord]:
    """Every attempt of a run, oldest first."""
    found = [_record(run, number) for number in run.attempts()]
    for record, following in zip(found, found[1:], strict=False):
        if record.outcome is None:
            record.outcome, record.reason = "worker_lost", "ended without a word, as when killed"
            record.ended = record.last_seen
        if record.last_step is not None and following.first_step is not None:
            record.steps_lost = max(record.last_step - following.first_step, 0)
    return found


def goodput(found: list[AttemptRecord], now: float) -> dict[str, Any]:
    """Fraction of the wall time that was productive, and where the rest went.

    Args:
        found: of `records`.
        now: seconds since 1970; the wall time of a living run ends here.

    Returns:
        `fraction`, `badput` (seconds by cause) and `steps_lost`.
    """
    causes = dict.fromkeys(("start_up", "compile", "recomputed", "down"), 0.0)
    if not found:
        return {"fraction": None, "badput": causes, "steps_lost": 0}
    for record, following in zip(found, [*found[1:], None], strict=True):
        end = record.ended or (now if following is None else record.last_seen)
        causes["start_up"] += record.start_up_s or (
            0.0 if record.first_step_s else max(end - record.started, 0.0)
        )
        causes["compile"] += record.first_step_s
        trained = (record.last_step or 0) - (record.first_step or 0)
        busy = end - record.started - record.start_up_s - record.first_step_s
        if trained > 0:
            causes["recomputed"] += max(busy, 0.0) * record.steps_lost / trained
        if following is not None:
            causes["down"] += max(following.started - end, 0.0)
    wall = (found[-1].ended or now) - found[0].started
    wasted = sum(causes.values())
    fraction = max(wall - wasted, 0.0) / wall if wall > 0 else None
    return {
        "fraction": None if fraction is None else round(fraction, 4),
        "badput": {cause: round(seconds, 1) for cause, seconds in causes.items()},
        "steps_lost": sum(record.steps_lost for record in found),
    }


def _record(run: Run, number: int) -> AttemptRecord:
    claim = run.store.read_json(run.claim(number)) or {}
    progress = run.store.read_json(run.progress(number)) or {}
    events = ledger.read(run, number)
    began = ledger.last(events, "restored") or ledger.last(events, "started")
    first = ledger.last(events, "first_step")
    end = ledger.last(events, "ended")
    started = float(claim.get("time", 0.0))
    seen = max([started, progress.get("time", 0.0), *(event["time"] for event in events)])
    record = AttemptRecord(
        attempt=number,
        outcome=end["outcome"] if end else None,
        reason=end["reason"] if end else "",
        workers=int(claim.get("workers", 1)),
        first_step=began["step"] if began else None,
        last_step=end["step"] if end else progress.get("step", began["step"] if began else None),
        steps_lost=0,
        started=started,
        ended=end["time"] if end else None,
        evaluation_s=sum(e["seconds"] for e in events if e["event"] == "evaluated"),
        last_seen=seen,
    )
    if first:
        record.first_step_s = first["seconds"]
        record.start_up_s = max(first["time"] - first["seconds"] - started, 0.0)
    return record

"""Goodput of a run: the part of its wall time that went into steps that count.

Every second from the first submission to the last end belongs to exactly one of: a cause of
badput, the productive rest, or an idle time in which nobody wanted the run to be trained (from a
stop, a failure or the last step until it was submitted again). Idle time is no wall time.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ardm.runs import ledger
from ardm.runs.layout import Run
from ardm.runs.outcome import ENDS_THE_JOB

CAUSES = ("queued", "start_up", "restore", "compile", "recomputed", "save_stalls", "down")
"""queued: from a submission to the beginning of its first attempt.
start_up: in an attempt, before its first step, and what that step took beyond an ordinary one.
restore: finding, reading and verifying the newest checkpoint.
compile: XLA, or reading its work from the compilation cache, as far as the first step waited.
recomputed: steps and evaluations that a later attempt had to do again.
save_stalls: training slowed down by a save beside it, or waiting for the last one.
down: from the end of an attempt to the beginning of the next one of the same job."""


class Save(NamedTuple):
    """A committed checkpoint."""

    step: int
    seconds: float
    """From its beginning to its commit."""
    bytes: int
    interval_s: float | None
    """That was to pass until the next one."""


class Evaluation(NamedTuple):
    """An evaluation, with the pictures drawn along with it."""

    step: int
    seconds: float


@dataclass
class AttemptRecord:
    """What the store tells of one attempt; times in seconds since 1970, steps as finished steps."""

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
    """When it claimed the run."""
    ended: float | None
    began: float = 0.0
    """When its process turned to the run: before the data were loaded and the run claimed."""
    submission: str | None = None
    submitted: float | None = None
    """When its submission was made, if that is known."""
    trains_from: float | None = None
    """When its first step began; None if it never came so far."""
    first_step_s: float = 0.0
    compile_s: float = 0.0
    restore_s: float = 0.0
    evaluations: list[Evaluation] = field(default_factory=list)
    saves: list[Save] = field(default_factory=list)
    saves_failed: int = 0
    stalls: list[float] = field(default_factory=list)
    """Seconds that each save beside the training held it up."""
    final_save_s: float = 0.0
    """Seconds that the end of the attempt waited for its last save."""
    skipped: list[int] = field(default_factory=list)
    """Steps that it left out because they were not finite."""
    data: str | None = None
    """`Dataset.sha256` of what it trained on."""
    workers_differ: list[str] = field(default_factory=list)
    """What bits depend on and differed among its workers, one line each."""
    last_seen: float = 0.0
    """When it last told anything."""
    silent: bool = False
    """It ended without a word, perhaps some steps after the last one that it told of."""


class Account(NamedTuple):
    """Where the time of an attempt went, and the time between the one before and it."""

    attempt: int
    workers: int
    alive_s: float
    productive_s: float
    """The alive time that is no badput."""
    step_s: float | None
    """Seconds of an ordinary step, where two or more were done."""
    idle_s: float
    badput: dict[str, float]


def records(run: Run) -> list[AttemptRecord]:
    """Every attempt of a run, oldest first."""
    found = [_record(run, number) for number in run.attempts()]
    for i, record in enumerate(found[:-1]):
        if record.outcome is None:
            record.outcome, record.reason = "worker_lost", "ended without a word, as when killed"
            record.ended, record.silent = record.last_seen, True
        # An attempt may die before it has restored anything; then the next one tells.
        resumed = next((r.first_step for r in found[i + 1 :] if r.first_step is not None), None)
        if record.last_step is not None and resumed is not None:
            record.steps_lost = max(record.last_step - resumed, 0)
    return found


def accounts(found: list[AttemptRecord], now: float) -> list[Account]:
    """Where the time went, attempt by attempt.

    Args:
        found: of `records`.
        now: seconds since 1970; a living attempt is accounted for up to here.
    """
    around = [None, *found, None]
    return [_account(around[i], record, around[i + 2], now) for i, record in enumerate(found)]


def goodput(found: list[AttemptRecord], now: float) -> dict[str, Any]:
    """Fraction of the wall time that was productive, and where the rest went.

    Args:
        found: of `records`.
        now: seconds since 1970; the wall time of a living run ends here.

    Returns:
        `fraction` (None before there is any wall time), `badput` (seconds by cause, see `CAUSES`),
        `steps_lost`, `productive_s`, `wall_s` and `idle_s`. Badput and productive time add up to
        the wall time.
    """
    told = accounts(found, now)
    badput = {cause: sum(account.badput[cause] for account in told) for cause in CAUSES}
    productive = sum(account.productive_s for account in told)
    wall = productive + sum(badput.values())
    return {
        "fraction": round(productive / wall, 4) if wall > 0 else None,
        "badput": {cause: round(seconds, 1) for cause, seconds in badput.items()},
        "steps_lost": sum(record.steps_lost for record in found),
        "productive_s": round(productive, 1),
        "wall_s": round(wall, 1),
        "idle_s": round(sum(account.idle_s for account in told), 1),
    }


def skipped_steps(found: list[AttemptRecord]) -> int:
    """Steps of the run that were left out because they were not finite.

    A step that a later attempt did again counts as that attempt left it.
    """
    steps: set[int] = set()
    for record in found:
        if record.first_step is not None:
            steps = {step for step in steps if step <= record.first_step}
        steps.update(record.skipped)
    return len(steps)


def end_of(record: AttemptRecord, after: AttemptRecord | None, now: float) -> float:
    """When an attempt ended, or is taken to have: never later than the next one's beginning."""
    end = record.ended or (now if after is None else record.last_seen)
    return max(end if after is None else min(end, after.began), record.began)


def _account(
    before: AttemptRecord | None, record: AttemptRecord, after: AttemptRecord | None, now: float
) -> Account:
    alive = end_of(record, after, now) - record.began
    badput, step_s = _inside(record, alive)
    queued, down, idle = _ahead(before, record, now)
    productive = max(alive - sum(badput.values()), 0.0)
    badput |= {"queued": queued, "down": down}
    return Account(record.attempt, record.workers, alive, productive, step_s, idle, badput)


def _ahead(
    before: AttemptRecord | None, record: AttemptRecord, now: float
) -> tuple[float, float, float]:
    """Seconds queued, down and idle between the attempt before and this one."""
    free_from = end_of(before, record, now) if before else record.began
    new = before is None or before.submission != record.submission
    asked = record.submitted if new and record.submitted is not None else None
    if before is None:
        return max(record.began - asked, 0.0) if asked else 0.0, 0.0, 0.0
    asked = record.began if asked is None else min(max(asked, free_from), record.began)
    queued, between = record.began - asked, asked - free_from
    return (queued, 0.0, between) if before.outcome in ENDS_THE_JOB else (queued, between, 0.0)


def _inside(record: AttemptRecord, alive: float) -> tuple[dict[str, float], float | None]:
    """Badput within an attempt, and the seconds of its ordinary step."""
    badput, left = dict.fromkeys(CAUSES, 0.0), alive

    def take(cause: str, seconds: float) -> None:
        """Whatever the ledger tells, no more than the attempt lived."""
        nonlocal left
        taken = min(max(seconds, 0.0), left)
        badput[cause] += taken
        left -= taken

    take("restore", record.restore_s)
    if record.trains_from is None:
        take("start_up", left)
        return badput, None
    take("start_up", record.trains_from - record.began - badput["restore"])
    take("compile", min(record.compile_s, record.first_step_s))
    take("save_stalls", sum(record.stalls) + record.final_save_s)
    first = max(record.first_step_s - record.compile_s, 0.0)
    trained = max((record.last_step or 0) - (record.first_step or 0), 1)
    evaluated = sum(evaluation.seconds for evaluation in record.evaluations)
    step_s = max(left - first - evaluated, 0.0) / (trained - 1) if trained > 1 else None
    ordinary = first if step_s is None else step_s
    take("start_up", first - ordinary)
    kept = (record.last_step or 0) - record.steps_lost
    again = sum(e.seconds for e in record.evaluations if e.step > kept)
    take("recomputed", min(record.steps_lost, trained) * ordinary + again)
    return badput, step_s


def _record(run: Run, number: int) -> AttemptRecord:
    claim = run.store.read_record(run.claim(number)) or {}
    progress = run.store.read_record(run.progress(number)) or {}
    events = ledger.read(run, number)
    began = ledger.last(events, "restored") or ledger.last(events, "started")
    end = ledger.last(events, "ended")
    started = float(claim.get("time", 0.0))
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
        began=min(float(claim.get("began", started)), started),
        submission=claim.get("submission"),
        submitted=claim.get("submitted"),
        restore_s=began["seconds"] if began else 0.0,
        last_seen=max([started, progress.get("time", 0.0), *(e["time"] for e in events)]),
    )
    for event in events:
        _note(record, event)
    if end is None and record.saves and record.last_step is not None:
        record.last_step = max(record.last_step, record.saves[-1].step)
    return record


def _note(record: AttemptRecord, event: ledger.Event) -> None:
    """Add what one event tells."""
    match event["event"]:
        case "first_step":
            record.first_step_s = event["seconds"]
            record.trains_from = max(event["time"] - event["seconds"], record.began)
            record.compile_s = event.get("compile_s", 0.0)
        case "evaluated":
            record.evaluations.append(Evaluation(event["step"], event["seconds"]))
        case "saved":
            seconds, interval = event["seconds"], event.get("interval")
            record.saves.append(Save(event["step"], seconds, event["bytes"], interval))
        case "save_failed":
            record.saves_failed += 1
        case "skipped_step":
            record.skipped.append(event["step"])
        case "started" | "restored":
            record.data = event.get("data_sha256")
        case "workers_differ":
            record.workers_differ = event["differences"]
        case "stalled":
            record.stalls.append(event["seconds"])
        case "final_save":
            record.final_save_s += event["seconds"]

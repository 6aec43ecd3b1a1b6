"""Goodput of a run: the part of its wall time that went into steps that count.

Every second from the first submission to the last end belongs to exactly one of: a cause of
badput, the productive rest, or an idle time in which nobody wanted the run to be trained (from a
stop, a failure or the last step until it was submitted again). Idle time is no wall time.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from ardm.events.history import records
from ardm.events.records import AttemptRecord, Evaluation, Save

__all__ = ["Account", "AttemptRecord", "Evaluation", "Save", "accounts", "goodput", "records"]

CAUSES = ("queued", "start_up", "restore", "compile", "recomputed", "save_stalls", "down")
"""queued: from a submission to the beginning of its first attempt.
start_up: in an attempt, before its first step, and what that step took beyond an ordinary one.
restore: finding, reading and verifying the newest checkpoint.
compile: XLA, or reading its work from the compilation cache, as far as the first step waited.
recomputed: steps and evaluations that a later attempt had to do again.
save_stalls: training slowed down by a save beside it, or waiting for the last one.
down: from the end of an attempt to the beginning of the next one of the same job."""


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


def accounts(found: list[AttemptRecord], now: float) -> list[Account]:
    """Where the time went, attempt by attempt.

    Args:
        found: of `records`.
        now: seconds since 1970; a living attempt is accounted for up to here.
    """
    found = _on_one_clock(found, now)
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
    listed = accounts(found, now)
    badput = {cause: sum(account.badput[cause] for account in listed) for cause in CAUSES}
    productive = sum(account.productive_s for account in listed)
    wall = productive + sum(badput.values())
    return {
        "fraction": round(productive / wall, 4) if wall > 0 else None,
        "badput": {cause: round(seconds, 1) for cause, seconds in badput.items()},
        "steps_lost": sum(record.steps_lost for record in found),
        "productive_s": round(productive, 1),
        "wall_s": round(wall, 1),
        "idle_s": round(sum(account.idle_s for account in listed), 1),
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
    return len(steps) + sum(record.older.skipped for record in found)


def end_of(record: AttemptRecord, after: AttemptRecord | None, now: float) -> float:
    """When an attempt ended, or is taken to have: never later than the next one's beginning."""
    end = record.ended or (max(now, record.last_seen) if after is None else record.last_seen)
    return max(end if after is None else min(end, after.began), record.began)


def _on_one_clock(found: list[AttemptRecord], now: float) -> list[AttemptRecord]:
    """The attempts in the order of their claims, whatever the clocks of their machines said.

    One that seems to begin before the one ahead of it was on a machine whose clock was behind. What
    happened within it is measured by that one clock, and is moved as a whole to where it fits.
    """
    ordered: list[AttemptRecord] = []
    for i, record in enumerate(found):
        before = ordered[-1] if ordered else None
        if record.undated:
            later = (r.began for r in found[i:] if not r.undated)
            place = end_of(before, record, now) if before else next(later, now)
            record = _moved(record, max(place, before.last_seen if before else place))
        elif before and record.began < before.began:
            record = _moved(record, before.ended or before.last_seen)
        ordered.append(record)
    return ordered


def _moved(record: AttemptRecord, to: float) -> AttemptRecord:
    """An attempt as if it had begun at another time."""
    by = to - record.began
    return replace(
        record,
        began=to,
        started=record.started + by,
        ended=None if record.ended is None else record.ended + by,
        last_seen=max(record.last_seen + by, to),
        trains_from=None if record.trains_from is None else record.trains_from + by,
        submitted=None,
    )


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
    wanted = not (before.outcome and before.outcome.ends_the_job)
    return (queued, between, 0.0) if wanted else (queued, 0.0, between)


def _inside(record: AttemptRecord, alive: float) -> tuple[dict[str, float], float | None]:
    """Badput within an attempt, and the seconds of its ordinary step."""
    badput, left = dict.fromkeys(CAUSES, 0.0), alive

    def take(cause: str, seconds: float) -> None:
        """Whatever the events say, no more than the attempt lived."""
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
    take("save_stalls", record.stalls_s + record.final_save_s)
    first = max(record.first_step_s - record.compile_s, 0.0)
    trained = max((record.last_step or 0) - (record.first_step or 0), 1)
    step_s = max(left - first - record.evaluations_s, 0.0) / (trained - 1) if trained > 1 else None
    ordinary = first if step_s is None else step_s
    take("start_up", first - ordinary)
    kept = (record.last_step or 0) - record.steps_lost
    again = sum(e.seconds for e in record.evaluations if e.step > kept)
    take("recomputed", min(record.steps_lost, trained) * ordinary + again)
    return badput, step_s

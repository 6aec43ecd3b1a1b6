"""Goodput of a run: the share of its wall time that went into steps that count.

Each second from the first submission to the end of the last attempt is counted exactly once: as
badput of one cause, as productive time, or as idle time. A run is idle from a stop, a failure or
its last step until it is submitted again. Idle time is not part of the wall time.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from ardm.events.history import records
from ardm.events.records import AttemptRecord, Evaluation, Save

__all__ = ["Account", "AttemptRecord", "Evaluation", "Save", "accounts", "goodput", "records"]

CAUSES = ("queued", "start_up", "restore", "compile", "recomputed", "save_stalls", "down")
"""Causes of badput:

- queued: the time from a submission to the beginning of its first attempt.
- start_up: the time in an attempt before its first step, and the time by which that step took
  longer than an ordinary step.
- restore: the time to find, read and verify the newest checkpoint.
- compile: the time for which the first step waited for XLA or for the compilation cache.
- recomputed: the time of steps and evaluations that a later attempt had to repeat.
- save_stalls: the time by which saves slowed down training, and the wait for the final save.
- down: the time from the end of an attempt to the beginning of the next one of the same job."""


class Account(NamedTuple):
    """How the time of an attempt, and the time between the previous attempt and it, was spent."""

    attempt: int
    workers: int
    alive_s: float
    """Time from the beginning of the attempt to its end (seconds)."""
    productive_s: float
    """The part of `alive_s` that is not badput (seconds)."""
    step_s: float | None
    """Duration of an ordinary step (seconds); None if fewer than two steps were done."""
    idle_s: float
    """Idle time before the attempt (seconds)."""
    badput: dict[str, float]
    """Badput by cause (seconds); see `CAUSES`."""


def accounts(attempts: list[AttemptRecord], now: float) -> list[Account]:
    """Account for the time of each attempt.

    Args:
        attempts: the attempts of a run, oldest first, as `records` returns them.
        now: the present time (seconds since 1970); the account of a living attempt ends here.
    """
    attempts = _on_one_clock(attempts, now)
    around = [None, *attempts, None]
    return [_account(around[i], record, around[i + 2], now) for i, record in enumerate(attempts)]


def goodput(attempts: list[AttemptRecord], now: float) -> dict[str, Any]:
    """The share of the wall time that was productive, and how the rest was spent.

    Args:
        attempts: the attempts of a run, oldest first, as `records` returns them.
        now: the present time (seconds since 1970); the wall time of a living run ends here.

    Returns:
        `fraction` (None if the wall time is 0), `badput` (seconds by cause; see `CAUSES`),
        `steps_lost`, `productive_s`, `wall_s` and `idle_s`. Badput and productive time add up to
        the wall time.
    """
    by_attempt = accounts(attempts, now)
    badput = {cause: sum(account.badput[cause] for account in by_attempt) for cause in CAUSES}
    productive = sum(account.productive_s for account in by_attempt)
    wall = productive + sum(badput.values())
    return {
        "fraction": round(productive / wall, 4) if wall > 0 else None,
        "badput": {cause: round(seconds, 1) for cause, seconds in badput.items()},
        "steps_lost": sum(record.steps_lost for record in attempts),
        "productive_s": round(productive, 1),
        "wall_s": round(wall, 1),
        "idle_s": round(sum(account.idle_s for account in by_attempt), 1),
    }


def skipped_steps(attempts: list[AttemptRecord]) -> int:
    """The number of skipped steps, whose loss, gradient or new state was not finite.

    For a step that a later attempt repeated, the later attempt counts.
    """
    steps: set[int] = set()
    for record in attempts:
        if record.first_step is not None:
            steps = {step for step in steps if step <= record.first_step}
        steps.update(record.skipped)
    return len(steps) + sum(record.older.skipped for record in attempts)


def end_of(record: AttemptRecord, after: AttemptRecord | None, now: float) -> float:
    """The time at which an attempt ended, at the latest when the next one began.

    For an attempt without a recorded end this is the time at which it was last seen, or `now` if it
    is the newest one.
    """
    end = record.ended or (max(now, record.last_seen) if after is None else record.last_seen)
    return max(end if after is None else min(end, after.began), record.began)


def _on_one_clock(attempts: list[AttemptRecord], now: float) -> list[AttemptRecord]:
    """Shift attempts in time so that they follow each other in the order of their claims.

    An attempt that seems to begin before the previous one ran on a machine whose clock was behind.
    All of its times come from that clock, so they are shifted together to where they fit.
    """
    ordered: list[AttemptRecord] = []
    for i, record in enumerate(attempts):
        before = ordered[-1] if ordered else None
        if record.undated:
            later = (r.began for r in attempts[i:] if not r.undated)
            begin = end_of(before, record, now) if before else next(later, now)
            record = _moved(record, max(begin, before.last_seen if before else begin))
        elif before and record.began < before.began:
            record = _moved(record, before.ended or before.last_seen)
        ordered.append(record)
    return ordered


def _moved(record: AttemptRecord, to: float) -> AttemptRecord:
    """Shift all times of an attempt so that it begins at `to` (seconds since 1970)."""
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
    badput, step_s = _within(record, alive)
    queued, down, idle = _before(before, record, now)
    productive = max(alive - sum(badput.values()), 0.0)
    badput |= {"queued": queued, "down": down}
    return Account(record.attempt, record.workers, alive, productive, step_s, idle, badput)


def _before(
    before: AttemptRecord | None, record: AttemptRecord, now: float
) -> tuple[float, float, float]:
    """Seconds queued, down and idle between the previous attempt and this one."""
    free_from = end_of(before, record, now) if before else record.began
    new = before is None or before.submission != record.submission
    submitted = record.submitted if new and record.submitted is not None else None
    if before is None:
        return max(record.began - submitted, 0.0) if submitted else 0.0, 0.0, 0.0
    submitted = record.began if submitted is None else min(max(submitted, free_from), record.began)
    queued, between = record.began - submitted, submitted - free_from
    wanted = not (before.outcome and before.outcome.ends_the_job)
    return (queued, between, 0.0) if wanted else (queued, 0.0, between)


def _within(record: AttemptRecord, alive: float) -> tuple[dict[str, float], float | None]:
    """Badput within an attempt by cause, and the duration of an ordinary step (seconds)."""
    badput, left = dict.fromkeys(CAUSES, 0.0), alive

    def take(cause: str, seconds: float) -> None:
        """Count seconds as badput, but in total never more than the attempt lived."""
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

"""Requests to a running attempt, and its end, through the store: works wherever it runs."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from ardm.runs import ledger
from ardm.runs.layout import Run

_ORDERLY = ("preempted", "resized", "stopped", "superseded", "completed")


def request_stop(run: Run) -> int | None:
    """Ask the newest attempt to save and end.

    Returns:
        Its number; None if the run has no attempt, or its newest one has ended.
    """
    number = max(run.attempts(), default=None)
    if number is None or ended(run, number):
        return None
    run.store.write(run.stop_request(number), b"")
    return number


def ended(run: Run, number: int) -> ledger.Event | None:
    """The event that ended an attempt, if it has ended in order."""
    return ledger.last(ledger.read(run, number), "ended")


def trains(run: Run) -> bool:
    """Whether the newest attempt has taken a step."""
    events = ledger.read(run, max(run.attempts(), default=0))
    return ledger.last(events, "first_step") is not None


def wait_for_end(
    run: Run, number: int, patience: float, sleep: Callable[[float], None] = time.sleep
) -> ledger.Event | None:
    """Wait until an attempt has ended; None if it does not within `patience` seconds."""
    deadline = time.monotonic() + patience
    while (event := ended(run, number)) is None and time.monotonic() < deadline:
        sleep(0.3)
    return event


@dataclass(frozen=True)
class CrashLoop:
    """Several attempts of one submission in a row that saved nothing new."""

    attempts: list[int]
    last_reason: str


def crash_loop(
    run: Run, number: int, limit: int, gone: Callable[[Collection[str]], bool]
) -> CrashLoop | None:
    """Tell a crash loop from preemptions.

    Only attempts of the same submission as attempt `number` count, so that submitting again gives
    a new budget; and only those that ended without notice on machines that are still there, and
    left no checkpoint of a step beyond the one they began with. What the ledger tells of saves is
    not enough: a checkpoint that is gone, or was put aside as damaged, is no progress.
    Without a submission each attempt was started by hand, which is guard enough.

    Args:
        run: the run.
        number: the attempt that is about to begin.
        limit: attempts without progress that are one too many.
        gone: whether any of some machines is no longer there.

    Returns:
        The loop, or None if there is none.
    """
    mine = _submission(run, number)
    if mine is None:
        return None
    futile: list[int] = []
    reason = ""
    for earlier in reversed([n for n in run.attempts() if n < number]):
        if _submission(run, earlier) != mine:
            break
        events = ledger.read(run, earlier)
        end = ledger.last(events, "ended")
        orderly = end and end["outcome"] in _ORDERLY
        # A machine that goes away while the store is down cannot save; that is nobody's failure.
        if orderly or ledger.last(events, "notice") or _came_further(run, earlier, events):
            break
        if gone(_claim(run, earlier).get("nodes", ())):
            break
        reason = reason or (end["reason"] if end else "ended without a word, as when killed")
        futile.append(earlier)
    return CrashLoop(futile[::-1], reason) if len(futile) >= limit else None


def _came_further(run: Run, number: int, events: list[ledger.Event]) -> bool:
    # Orbax and JAX take seconds to import, and neither a command line nor a driver needs them.
    from ardm.runs import checkpoints

    began = ledger.last(events, "restored")
    beyond = began["step"] if began else -1
    return any(
        place.attempt == number and place.step > beyond for place in checkpoints.committed(run)
    )


def failure(run: Run, number: int) -> ledger.Event | None:
    """The programming error that ended an earlier attempt of the same submission, if one did.

    A worker other than rank 0 cannot end the job by itself; the next attempt does it for it.
    """
    mine = _submission(run, number)
    for earlier in (n for n in run.attempts() if n < number):
        if _submission(run, earlier) == mine:
            event = ledger.last(ledger.read(run, earlier), "worker_failed")
            if event:
                return event
    return None


def attempts_of(run: Run, submission: str) -> list[int]:
    """The attempts that belong to a submission, in order."""
    return [number for number in run.attempts() if _submission(run, number) == submission]


def taken_over(run: Run, submission: str) -> bool:
    """Whether the newest attempt is somebody else's than that submission's."""
    return _submission(run, max(run.attempts(), default=0)) != submission


def _submission(run: Run, number: int) -> Any:
    return _claim(run, number).get("submission")


def _claim(run: Run, number: int) -> dict[str, Any]:
    return run.store.read_record(run.claim(number)) or {}

"""Requests to a running attempt, and its end, through the store: works wherever it runs."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ardm.events import event_log, history, kinds
from ardm.events.events import Outcome
from ardm.events.kinds import E
from ardm.events.records import AttemptRecord
from ardm.runner.context import Ended
from ardm.store.run_directory import Run


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


def ended(run: Run, number: int) -> Ended | None:
    """How an attempt ended, if it has ended in order.

    One object says so. Where there is none, as of an attempt of an older version, its events do.
    """
    event = _landmark(run, number, kinds.Ended)
    if event is None:
        return None
    return Ended(event.outcome, event.step or 0, event.reason, event.detail)


def trains(run: Run, number: int) -> bool:
    """Whether an attempt has taken a step."""
    return _landmark(run, number, kinds.FirstStep) is not None


def _landmark(run: Run, number: int, kind: type[E]) -> E | None:
    """An event that the progress object keeps; see `event_log.LANDMARKS`."""
    progress = run.store.read_record(run.progress(number)) or {}
    if "beat" not in progress:
        return kinds.last(event_log.read(run, number), kind)
    event = kinds.of_json(progress.get(kinds.name(kind)))
    return event if isinstance(event, kind) else None


def wait_for_end(
    run: Run, number: int, patience: float, sleep: Callable[[float], None] = time.sleep
) -> Ended | None:
    """Wait until an attempt has ended; None if it does not within `patience` seconds."""
    deadline = time.monotonic() + patience
    while (end := ended(run, number)) is None and time.monotonic() < deadline:
        sleep(0.3 if run.store.is_local else 1.0)
    return end


@dataclass(frozen=True)
class CrashLoop:
    """Several attempts of one submission in a row that saved nothing new."""

    attempts: list[int]
    last_reason: str


def hopeless(
    run: Run,
    records: Sequence[AttemptRecord],
    number: int,
    limit: int,
    gone: Callable[[Collection[str]], bool],
) -> Ended | None:
    """Why another attempt of this submission would end as the ones before it.

    Args:
        run: the run.
        records: of all its attempts.
        number: the attempt that is about to begin.
        limit: attempts without progress that are one too many.
        gone: whether any of some machines is no longer there.

    Returns:
        How it ends at once; None if it may begin.
    """
    if event := failure(records, number):
        rank = "?" if event.rank is None else event.rank
        reason = f"rank {rank}: {event.reason}"
        return Ended(event.outcome, event.step, reason, event.detail)
    loop = crash_loop(run, records, number, limit, gone)
    if loop is None:
        return None
    reason = (
        f"attempts {loop.attempts} saved nothing new; the last one: {loop.last_reason}. "
        "Look at `ardm logs`, then submit the run again."
    )
    return Ended(Outcome.FAILED, 0, reason)


def crash_loop(
    run: Run,
    records: Sequence[AttemptRecord],
    number: int,
    limit: int,
    gone: Callable[[Collection[str]], bool],
) -> CrashLoop | None:
    """Tell a crash loop from preemptions.

    Only attempts of the same submission as attempt `number` count, so that submitting again gives
    a new budget; and only those that ended without notice on machines that are still there, and
    left no checkpoint of a step beyond the one they began with. What the events say of saves is
    not enough: a checkpoint that is gone, or was put aside as damaged, is no progress.
    Without a submission each attempt was started by hand, which is guard enough.

    Args:
        run: the run.
        records: of all its attempts.
        number: the attempt that is about to begin.
        limit: attempts without progress that are one too many.
        gone: whether any of some machines is no longer there.

    Returns:
        The loop, or None if there is none.
    """
    mine = _submission(records, number)
    if mine is None:
        return None
    futile: list[int] = []
    reason = ""
    saved: dict[int, int] | None = None
    for record in reversed([r for r in records if r.attempt < number]):
        # A machine that goes away while the store is down cannot save; that is nobody's failure.
        orderly = record.outcome is not None and record.outcome.is_orderly
        if record.submission != mine or orderly or record.noticed:
            break
        saved = _newest_saved(run) if saved is None else saved
        began = -1 if record.first_step is None else record.first_step
        if saved.get(record.attempt, -1) > began or gone(_nodes(record)):
            break
        reason = reason or record.reason or "ended without a word, as when killed"
        futile.append(record.attempt)
    return CrashLoop(futile[::-1], reason) if len(futile) >= limit else None


def _newest_saved(run: Run) -> dict[int, int]:
    """The step of the newest checkpoint of each attempt that has one."""
    # Orbax and JAX take seconds to import, and neither a command line nor a driver needs them.
    from ardm.checkpoint import checkpoints

    steps: dict[int, int] = {}
    for place in checkpoints.committed(run):
        steps[place.attempt] = max(place.step, steps.get(place.attempt, 0))
    return steps


def _nodes(record: AttemptRecord) -> list[str]:
    nodes = record.claim.get("nodes")
    return [str(node) for node in nodes] if isinstance(nodes, list) else []


def failure(records: Sequence[AttemptRecord], number: int) -> kinds.WorkerFailed | None:
    """The programming error that ended an earlier attempt of the same submission, if one did.

    A worker other than rank 0 cannot end the job by itself; the next attempt does it for it.

    Args:
        records: of all attempts.
        number: the attempt that is about to begin.
    """
    mine = _submission(records, number)
    failed = [r for r in records if r.attempt < number and r.submission == mine]
    return next((r.worker_failed for r in failed if r.worker_failed), None)


def attempts_of(run: Run, submission: str) -> list[int]:
    """The attempts that belong to a submission, in order."""
    return [r.attempt for r in history.read(run).records if r.submission == submission]


def taken_over(run: Run, submission: str) -> bool:
    """Whether the newest attempt is somebody else's than that submission's."""
    newest = max(run.attempts(), default=0)
    return history.claims(run, [newest])[newest].get("submission") != submission


def _submission(records: Sequence[AttemptRecord], number: int) -> str | None:
    return next((r.submission for r in records if r.attempt == number), None)

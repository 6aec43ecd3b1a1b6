"""Stop requests, ends and crash loops of attempts, all through the store.

So it does not matter on which machine an attempt runs.
"""

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
        The number of that attempt; None if the run has no attempt, or the newest has ended.
    """
    number = run.newest_attempt()
    if not number or ended(run, number):
        return None
    run.store.write(run.stop_request(number), b"")
    return number


def ended(run: Run, number: int) -> Ended | None:
    """How an attempt ended; None if it has recorded no end.

    The progress object holds the end. That of an earlier version of ardm does not; then all events
    are read.
    """
    event = _landmark(run, number, kinds.Ended)
    if event is None:
        return None
    return Ended(event.outcome, event.step or 0, event.reason, event.detail)


def trains(run: Run, number: int) -> bool:
    """Whether an attempt has finished a step."""
    return _landmark(run, number, kinds.FirstStep) is not None


def _landmark(run: Run, number: int, kind: type[E]) -> E | None:
    """The event of one of the kinds that the progress object keeps; see `event_log.LANDMARKS`."""
    progress = run.read_progress(number)
    if "beat" not in progress:
        return kinds.last(event_log.read(run, number), kind)
    event = kinds.of_json(progress.get(kinds.name(kind)))
    return event if isinstance(event, kind) else None


def wait_for_end(
    run: Run, number: int, timeout_s: float, sleep: Callable[[float], None] = time.sleep
) -> Ended | None:
    """Wait until an attempt has ended; None if it has not within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while (end := ended(run, number)) is None and time.monotonic() < deadline:
        sleep(0.3 if run.store.is_local else 1.0)
    return end


@dataclass(frozen=True)
class CrashLoop:
    """Consecutive attempts of one submission that saved nothing new."""

    attempts: list[int]
    last_reason: str


def hopeless(
    run: Run,
    records: Sequence[AttemptRecord],
    number: int,
    limit: int,
    gone: Callable[[Collection[str]], bool],
) -> Ended | None:
    """Decide whether an attempt is pointless, since it would end as earlier ones of its submission.

    Args:
        run: the run.
        records: the records of all attempts of the run.
        number: the attempt that is about to begin.
        limit: the number of attempts without progress that makes a crash loop.
        gone: returns whether any of these nodes no longer exists.

    Returns:
        The end of the attempt; None if it may begin.
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

    An attempt counts if it is of the same submission as attempt `number`, ended without a notice on
    nodes that still exist, and left no checkpoint beyond the step that it began with. Submitting
    again thus gives a new budget. The `saved` events are not used, since a checkpoint that was
    removed or quarantined is no progress. Without a submission there is no crash loop: a person
    started every attempt.

    Args:
        run: the run.
        records: the records of all attempts of the run.
        number: the attempt that is about to begin.
        limit: the number of attempts without progress that makes a crash loop.
        gone: returns whether any of these nodes no longer exists.

    Returns:
        The loop, or None if there is none.
    """
    submission = _submission(records, number)
    if submission is None:
        return None
    futile: list[int] = []
    reason = ""
    saved: dict[int, int] | None = None
    for record in reversed([r for r in records if r.attempt < number]):
        # A preempted machine cannot save while the store is down; that is no crash.
        orderly = record.outcome is not None and record.outcome.is_orderly
        if record.submission != submission or orderly or record.noticed:
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
    # Imported here since it imports Orbax and JAX, which takes seconds: commands and the driver
    # need neither.
    from ardm.checkpoint import checkpoints

    steps: dict[int, int] = {}
    for saved in checkpoints.committed(run):
        steps[saved.attempt] = max(saved.step, steps.get(saved.attempt, 0))
    return steps


def _nodes(record: AttemptRecord) -> list[str]:
    nodes = record.claim.get("nodes")
    return [str(node) for node in nodes] if isinstance(nodes, list) else []


def failure(records: Sequence[AttemptRecord], number: int) -> kinds.WorkerFailed | None:
    """The programming error that ended an earlier attempt of the same submission, if one did.

    A worker other than rank 0 cannot end the job; it records its failure, and the next attempt ends
    the job.

    Args:
        records: the records of all attempts.
        number: the attempt that is about to begin.
    """
    submission = _submission(records, number)
    earlier = [r for r in records if r.attempt < number and r.submission == submission]
    return next((r.worker_failed for r in earlier if r.worker_failed), None)


def attempts_of(run: Run, submission: str) -> list[int]:
    """The attempts that belong to a submission, in order."""
    return [r.attempt for r in history.read(run).records if r.submission == submission]


def taken_over(run: Run, submission: str) -> bool:
    """Whether the newest attempt belongs to another submission, or to none."""
    newest = run.newest_attempt()
    return history.claims(run, [newest])[newest].get("submission") != submission


def _submission(records: Sequence[AttemptRecord], number: int) -> str | None:
    return next((r.submission for r in records if r.attempt == number), None)

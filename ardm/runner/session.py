"""One attempt from claim to end: what `ardm train` and every Ray worker run alike.

Rank 0 leads; the others restore the same checkpoint and train. The state is the same on all of
them, so nobody waits for a save.
"""

import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ardm.checkpoint import checkpoints, garbage
from ardm.errors import InputError
from ardm.events.event_log import EventLog
from ardm.events.outcome import Outcome
from ardm.job.spec import JobSpec
from ardm.outages import of_the_store
from ardm.runner import agreement, prepare
from ardm.runner.compilation import share_cache
from ardm.runner.context import (
    NOTHING,
    PREEMPT,
    RESIZE,
    STOP,
    SUPERSEDED,
    Context,
    Notice,
    StepRecord,
    Warned,
)
from ardm.runner.ended import Ended, of_error
from ardm.runner.environment import environment
from ardm.runner.leader import Leader
from ardm.store import claims, registry
from ardm.store.retry import Abandoned, Deadline, attend, retry
from ardm.store.run_directory import Run
from ardm.training.cores import cores_here
from ardm.training.group import Alone
from ardm.training.lanes import use_cores
from ardm.training.loop import train
from ardm.training.state import init, template
from ardm.training.state import place as bind

log = logging.getLogger(__name__)

CLAIM_PATIENCE = 60.0
"""Seconds for which a store that fails at the claim is asked again."""

_OF_FLAG: dict[int, Outcome] = {
    NOTHING: Outcome.COMPLETED,
    RESIZE: Outcome.RESIZED,
    STOP: Outcome.STOPPED,
    PREEMPT: Outcome.PREEMPTED,
    SUPERSEDED: Outcome.SUPERSEDED,
}

ENDS_WITH_RANK_0 = frozenset(_OF_FLAG.values())
"""How a worker other than rank 0 ends when it ends because rank 0 does."""

TELL_PATIENCE = 10.0
"""Seconds that a worker other than rank 0 takes to leave word of its failure."""


def get_ready(run: Run) -> None:
    """Do ahead of time what an attempt on a run begins with, before there is one; do not wait.

    For a process that may become the run's only worker, and has nothing to do until then.
    """
    share_cache(run.store)
    prepare.begin_ahead(run, registry.read_spec(run))


def attempt_here(
    run: Run,
    spec: JobSpec,
    notice: Notice,
    on_step: Callable[[StepRecord], None] | None = None,
) -> Ended:
    """Carry a run on in this process alone, with all cores that it may use.

    Args:
        run: opened, with `spec` frozen in it.
        spec: what is trained.
        notice: when to save and end.
        on_step: called after every step.
    """
    use_cores(cores_here())
    return run_attempt(run, spec, Context(Alone(), notice, {"by": "ardm train"}, on_step=on_step))


def run_attempt(run: Run, spec: JobSpec, context: Context) -> Ended:
    """Carry a run on as far as it goes.

    Args:
        run: opened, with `spec` frozen in it.
        spec: what is trained.
        context: where, and what may end it.

    Returns:
        How the attempt ended, on every rank; it is recorded in the ledger.
    """
    began = time.time()
    share_cache(run.store)
    if context.group.rank == 0:
        try:
            number, about = _claim(run, spec, context, began)
        except Abandoned:
            return Ended(Outcome.PREEMPTED, 0, f"{context.notice.reason}; nothing new to save")
        except Exception as error:  # every end of an attempt is an outcome
            return of_error(error, 0, context.group.size)
        garbage.sweep_beside(run)
        return Leader(run, spec, context, number, about).live()
    return _follow(run, spec, context)


def _claim(run: Run, spec: JobSpec, context: Context, began: float) -> tuple[int, dict[str, Any]]:
    """Claim the next attempt, from a store that may fail for a while."""
    about = about_here(time.time(), context.group.size) | dict(context.about)
    about |= {"began": round(began, 3), "token": uuid.uuid4().hex}
    about |= {"spec": spec.model_dump(mode="json")}

    def claim() -> tuple[int, dict[str, Any]]:
        whole = about | {"submitted": _submitted(run, about)}
        return claims.claim(run, whole), whole

    def claim_in_time() -> tuple[int, dict[str, Any]]:
        return retry(claim, Deadline(CLAIM_PATIENCE), of_the_store)

    # A machine that goes away has no time for it.
    return attend(claim_in_time, lambda: context.notice.reason is not None, "ardm-claim")


def about_here(now: float, workers: int) -> dict[str, Any]:
    """What a claim tells of this process: where and when, and what its bits depend on."""
    return {
        "time": round(now, 3),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "workers": workers,
        **environment(),
    }


def _submitted(run: Run, about: Mapping[str, Any]) -> float | None:
    """When the submission that this attempt belongs to was made."""
    noted = run.store.read_record(run.submission) or {}
    same = noted.get("submission_id") == about.get("submission")
    return noted.get("submitted") if same else None


def _flag(notice: Warned) -> int:
    return PREEMPT if notice.reason else NOTHING


def _follow(run: Run, spec: JobSpec, context: Context) -> Ended:
    """The attempt of a worker other than rank 0."""
    preparation = prepare.begin(run, spec, context.group)
    messages = _exchange(preparation, context)
    message = messages[0]
    if message["end"]:
        kind, reason = message["end"]
        return Ended(Outcome(kind), 0, reason)
    try:
        agreement.require_one_data_set([one["environment"] for one in messages])
    except InputError as error:
        # Rank 0 comes to the same end, and records it.
        return Ended(Outcome.BAD_INPUT, 0, str(error))
    step, flag = 0, NOTHING
    try:
        _, model = preparation.loaded()
        if message["checkpoint"] is None:
            found = init(model, spec.training, spec.seed)
        else:
            chosen = checkpoints.Checkpoint(run, *message["checkpoint"])
            found, _ = checkpoints.load(chosen, template(model, spec.training))
        step = int(found.step)
        work, state = preparation.ready(), bind(found)
        for done in train(work, state, lambda: _flag(context.notice)):
            step, flag = done.step, done.flag
            if flag:
                break
    except Exception as error:  # every end of an attempt is an outcome
        return _tell(run, message["attempt"], context, of_error(error, step, context.group.size))
    return Ended(_OF_FLAG[flag], step, "as rank 0")


def _exchange(preparation: prepare.Preparation, context: Context) -> list[dict[str, Any]]:
    """Tell the others what this worker's bits depend on; every worker's message, by rank."""
    try:
        data = preparation.loaded()[0].sha256
    except Exception:  # raised again, and recorded, where the data are used
        data = None
    mine = {"environment": agreement.brief(environment(data))}
    return [json.loads(one) for one in context.group.exchange(json.dumps(mine).encode())]


def _tell(run: Run, number: int, context: Context, ended: Ended) -> Ended:
    """Leave word of a failure of this worker's own; Ray must restart the group to free rank 0."""
    if not ended.outcome.ends_the_job or ended.outcome == Outcome.DIVERGED:
        # Every worker sees the same numbers: rank 0 ends, too, and says why.
        return ended
    ledger = EventLog(run, number, context.group.rank)
    fields = {"step": ended.step, "reason": ended.reason, "detail": ended.detail}
    ledger.add("worker_failed", rank=context.group.rank, outcome=ended.outcome, **fields)
    try:
        retry(ledger.flush, Deadline(TELL_PATIENCE), of_the_store)
    except Exception as error:  # the group restarts all the same
        log.warning("rank %d cannot leave word of its failure (%s)", context.group.rank, error)
    return Ended(Outcome.WORKER_LOST, ended.step, f"rank {context.group.rank}: {ended.reason}")

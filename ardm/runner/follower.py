"""Any process of an attempt except process 0: it restores the same checkpoint and trains."""

import json
import logging
from dataclasses import asdict
from typing import Any

from ardm.checkpoint import checkpoints
from ardm.errors import InputError
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.events.events import Outcome
from ardm.job.spec import JobSpec
from ardm.outages import of_the_store
from ardm.runner import agreement
from ardm.runner.context import (
    NOTHING,
    PREEMPT,
    RESIZE,
    STOP,
    SUPERSEDED,
    Context,
    Ended,
    NothingToDo,
    of_error,
)
from ardm.runner.environment import environment
from ardm.runner.prepare import Preparation
from ardm.store.retry import Deadline, retry
from ardm.store.run_directory import Run
from ardm.training.loop import Done
from ardm.training.state import TrainState, init, template

log = logging.getLogger(__name__)

_OUTCOME_OF_FLAG = {
    NOTHING: Outcome.COMPLETED,
    RESIZE: Outcome.RESIZED,
    STOP: Outcome.STOPPED,
    PREEMPT: Outcome.PREEMPTED,
    SUPERSEDED: Outcome.SUPERSEDED,
}

ENDS_WITH_PROCESS_0 = frozenset(_OUTCOME_OF_FLAG.values())
"""The outcomes of a process that ends because process 0 does."""


class Follower:
    """The part of every other process in `ardm.runner.attempt.run_attempt`."""

    def __init__(self, run: Run, spec: JobSpec, context: Context) -> None:
        self._run, self._spec, self._context = run, spec, context
        self._number: int | None = None
        self._step, self._flag = 0, NOTHING

    def begin(self) -> None:
        """Nothing: process 0 claims the attempt."""

    def restore(self, preparation: Preparation) -> TrainState:
        """The state that process 0 has chosen, on the host.

        Raises:
            NothingToDo: process 0 ends the attempt, or the workers have read different data.
        """
        messages = self._exchange(preparation)
        chosen = messages[0]
        self._number = chosen["attempt"]
        if chosen["end"]:
            outcome, reason = chosen["end"]
            raise NothingToDo(Ended(Outcome(outcome), 0, reason))
        try:
            agreement.require_one_data_set([message["environment"] for message in messages])
        except InputError as error:
            # Process 0 comes to the same end, and records it.
            raise NothingToDo(Ended(Outcome.BAD_INPUT, 0, str(error))) from error
        _, model = preparation.loaded()
        if chosen["checkpoint"] is None:
            state = init(model, self._spec.training, self._spec.seed)
        else:
            checkpoint = checkpoints.Checkpoint(self._run, *chosen["checkpoint"])
            state, _ = checkpoints.load(checkpoint, template(model, self._spec.training))
        self._step = int(state.step)
        return state

    def flag(self) -> int:
        """The flag that this process raises in the next step."""
        return PREEMPT if self._context.notice.reason else NOTHING

    def after_step(self, done: Done) -> None:
        """Remember the step; process 0 saves, evaluates and reports."""
        self._step, self._flag = done.step, done.flag

    def finish(self) -> Ended:
        """How this process ends after its last step."""
        return Ended(_OUTCOME_OF_FLAG[self._flag], self._step, "as rank 0")

    def ended_by(self, error: Exception) -> Ended:
        """How this process ends because of an error."""
        if isinstance(error, NothingToDo):
            return error.ended
        ended = of_error(error, self._step, self._context.group.size)
        # A state that is not finite is so on every worker; process 0 ends too, and records it.
        alone = ended.outcome.ends_the_job and ended.outcome != Outcome.DIVERGED
        return self._record_failure(ended, self._number) if alone and self._number else ended

    def close(self, ended: Ended) -> None:
        """Nothing: process 0 records the end."""

    def _record_failure(self, ended: Ended, number: int) -> Ended:
        """Record a failure that only this process has; Ray then restarts the whole group."""
        rank = self._context.group.rank
        events = EventLog(self._run, number, rank)
        events.add(kinds.WorkerFailed(rank=rank, **asdict(ended)))
        try:
            retry(events.flush, Deadline(self._context.timings.worker_failed), of_the_store)
        except Exception as error:  # the group restarts all the same
            log.warning("rank %d cannot record its failure (%s)", rank, error)
        return Ended(Outcome.WORKER_LOST, ended.step, f"rank {rank}: {ended.reason}")

    def _exchange(self, preparation: Preparation) -> list[dict[str, Any]]:
        """Send this worker's environment; returns the messages of all workers by rank."""
        try:
            data = preparation.loaded()[0].sha256
        except Exception:  # it is raised again, and recorded, when the data are used
            data = None
        message = {"environment": agreement.brief(environment(data))}
        group = self._context.group
        answers = group.exchange(json.dumps(message).encode())
        return [json.loads(answer) for answer in answers]

"""The state that an attempt begins with: the newest intact checkpoint, or a new state."""

import logging
from typing import Any

from ardm.checkpoint import preservation, restore
from ardm.checkpoint.checkpoints import Checkpoint, Unfinished
from ardm.checkpoint.serialization import Damaged
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.job.spec import JobSpec
from ardm.outages import of_the_store
from ardm.runner import agreement
from ardm.runner.interrupts import Interrupts
from ardm.runner.prepare import Preparation
from ardm.store.run_directory import Run
from ardm.training.state import TrainState, init, template

log = logging.getLogger(__name__)

LoadedCheckpoint = tuple[Checkpoint, Any, dict[str, Any]]
"""A checkpoint, its state on the host and its metadata."""


class Restorer:
    """Finds the state that process 0 begins with, and records where it comes from.

    Args:
        run: the run.
        spec: the job to train.
        events: the event log of the attempt.
        interrupts: the interrupts, which can end the search.
    """

    def __init__(self, run: Run, spec: JobSpec, events: EventLog, interrupts: Interrupts) -> None:
        self._run, self._spec, self._events, self._interrupts = run, spec, events, interrupts

    def newest(self, preparation: Preparation) -> LoadedCheckpoint | None:
        """Load the newest intact checkpoint and check its data; None if the run has none.

        Raises:
            InputError: the data are not those that the run was trained on.
            Unreadable: there are checkpoints, but none can be read.
        """
        data, model = preparation.loaded()
        newest = self._newest_intact(template(model, self._spec.training))
        if newest:
            checkpoint, _, metadata = newest
            agreement.require_reachable(self._run, checkpoint.step, self._spec)
            old = self._interrupts.in_time(
                lambda: agreement.require_data_of_run(checkpoint, metadata, data.sha256)
            )
            if old:
                log.warning("the data have changed (SHA-256 %s -> %s)", old, data.sha256)
                self._events.add(kinds.DataChanged(step=checkpoint.step, old=old, new=data.sha256))
        return newest

    def state(
        self, preparation: Preparation, newest: LoadedCheckpoint | None, seconds: float
    ) -> TrainState:
        """The state to begin with, on the host; an event records where it comes from.

        Args:
            preparation: the preparation, which holds the data and the model.
            newest: the newest checkpoint; None for a new state.
            seconds: how long the search for the checkpoint took.
        """
        data, model = preparation.loaded()
        data_fields: dict[str, Any] = {"data_sha256": data.sha256, "data": data.as_json()}
        seconds = round(seconds, 3)
        if newest is None:
            log.info("training starts from scratch")
            self._events.add(kinds.Started(step=0, seconds=seconds, **data_fields))
            new = lambda: init(model, self._spec.training, self._spec.seed)  # noqa: E731
            return self._interrupts.unless_ending(new)
        checkpoint, state, metadata = newest
        log.info("training continues from step %d of %s", checkpoint.step, checkpoint.uri)
        self._events.add(
            kinds.Restored(
                step=checkpoint.step,
                digest=metadata["digest"],
                from_attempt=checkpoint.attempt,
                seconds=seconds,
                **data_fields,
            )
        )
        before, config = metadata.get("spec"), self._spec.training
        if change := agreement.rate_change(before, config, checkpoint.step):
            log.warning("%s", change)
            self._events.add(kinds.LearningRate(**change._asdict()))
        return state

    def _newest_intact(self, template: Any) -> LoadedCheckpoint | None:
        """Load the newest intact checkpoint; an unreadable one is retried, then skipped."""
        try:
            return self._interrupts.in_time(
                lambda: restore.newest_verified(self._run, template, self._skip, fall_back=False)
            )
        except Exception as error:  # only faults of the store are handled here
            if not of_the_store(error):
                raise
            log.warning("the newest checkpoint cannot be read (%s)", error)
        return self._interrupts.unless_ending(
            lambda: restore.newest_verified(self._run, template, self._skip)
        )

    def _skip(self, checkpoint: Checkpoint, reason: Exception) -> None:
        """Record that a checkpoint is skipped; a damaged one is quarantined."""
        if isinstance(reason, Unfinished):
            log.warning("checkpoint %s is unfinished and is skipped", checkpoint.uri)
        elif isinstance(reason, Damaged):
            moved = preservation.quarantine(checkpoint)
            log.warning("checkpoint %s is damaged (%s); kept at %s", checkpoint.uri, reason, moved)
        else:
            log.warning("checkpoint %s cannot be read (%s) and is skipped", checkpoint.uri, reason)
        self._events.add(
            kinds.Skipped(
                step=checkpoint.step,
                from_attempt=checkpoint.attempt,
                reason=f"{type(reason).__name__}: {reason}",
            )
        )

"""The state that an attempt begins with: the newest sound checkpoint, or a new state."""

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

Found = tuple[Checkpoint, Any, dict[str, Any]]
"""A checkpoint, its state on the host and its metadata."""


class Restoring:
    """Finds the state for process 0, and records what it finds.

    Args:
        run: the run.
        spec: what is trained.
        events: of the attempt.
        interrupts: which can end the search.
    """

    def __init__(self, run: Run, spec: JobSpec, events: EventLog, interrupts: Interrupts) -> None:
        self._run, self._spec, self._events, self._interrupts = run, spec, events, interrupts

    def newest(self, preparation: Preparation) -> Found | None:
        """The newest checkpoint that can be trusted, if it is of these data; None of a new run.

        Raises:
            InputError: the data are not those that the run was trained on.
            Unreadable: there are checkpoints, and none can be read.
        """
        data, model = preparation.loaded()
        found = self._sound(template(model, self._spec.training))
        if found:
            checkpoint, _, metadata = found
            agreement.require_reachable(self._run, checkpoint.step, self._spec)
            old = self._interrupts.in_time(
                lambda: agreement.require_data_of_run(checkpoint, metadata, data.sha256)
            )
            if old:
                log.warning("the data are others than before (SHA-256 %s -> %s)", old, data.sha256)
                self._events.add(kinds.DataChanged(step=checkpoint.step, old=old, new=data.sha256))
        return found

    def state(self, preparation: Preparation, found: Found | None, seconds: float) -> TrainState:
        """The state, on the host, and an event that says where it comes from.

        Args:
            preparation: with the data and the model.
            found: the newest checkpoint.
            seconds: that the search has taken.
        """
        data, model = preparation.loaded()
        of_data: dict[str, Any] = {"data_sha256": data.sha256, "data": data.as_json()}
        took = round(seconds, 3)
        if found is None:
            log.info("training starts from scratch")
            self._events.add(kinds.Started(step=0, seconds=took, **of_data))
            new = lambda: init(model, self._spec.training, self._spec.seed)  # noqa: E731
            return self._interrupts.unless_ending(new)
        checkpoint, state, metadata = found
        log.info("training goes on from step %d of %s", checkpoint.step, checkpoint.uri)
        self._events.add(
            kinds.Restored(
                step=checkpoint.step,
                digest=metadata["digest"],
                from_attempt=checkpoint.attempt,
                seconds=took,
                **of_data,
            )
        )
        before, config = metadata.get("spec"), self._spec.training
        if change := agreement.rate_change(before, config, checkpoint.step):
            log.warning("%s", change)
            self._events.add(kinds.LearningRate(**change._asdict()))
        return state

    def _sound(self, like: Any) -> Found | None:
        """The newest sound checkpoint; one that cannot be read is waited for, then passed over."""
        try:
            return self._interrupts.in_time(
                lambda: restore.newest_verified(self._run, like, self._skip, fall_back=False)
            )
        except Exception as error:  # which ones may pass is for the outcome to say
            if not of_the_store(error):
                raise
            log.warning("the newest checkpoint cannot be read (%s)", error)
        return self._interrupts.unless_ending(
            lambda: restore.newest_verified(self._run, like, self._skip)
        )

    def _skip(self, checkpoint: Checkpoint, reason: Exception) -> None:
        """Record that a checkpoint is passed over; what is damaged is quarantined."""
        if isinstance(reason, Unfinished):
            log.warning("checkpoint %s is unfinished and is passed over", checkpoint.uri)
        elif isinstance(reason, Damaged):
            moved = preservation.quarantine(checkpoint)
            log.warning("checkpoint %s is damaged (%s); kept at %s", checkpoint.uri, reason, moved)
        else:
            log.warning("checkpoint %s cannot be read (%s); left there", checkpoint.uri, reason)
        self._events.add(
            kinds.Skipped(
                step=checkpoint.step,
                from_attempt=checkpoint.attempt,
                reason=f"{type(reason).__name__}: {reason}",
            )
        )

"""Rank 0 of an attempt: it claims, restores, saves, evaluates and records."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from ardm.checkpoint import preservation, restore
from ardm.checkpoint.checkpointer import Checkpointer
from ardm.checkpoint.checkpoints import Checkpoint, Unfinished
from ardm.checkpoint.serialization import Damaged
from ardm.errors import Diverged, SaveFailed, Superseded
from ardm.events import history
from ardm.events.curve import Curve
from ardm.events.event_log import EventLog
from ardm.events.outcome import Outcome
from ardm.events.summaries import Summarizer
from ardm.job.spec import JobSpec
from ardm.outages import of_the_store
from ardm.runner import agreement, continuation, control, prepare
from ardm.runner.compile_time import compile_time
from ardm.runner.context import NOTHING, PREEMPT, RESIZE, STOP, SUPERSEDED, Context, StepRecord
from ardm.runner.ended import Ended, of_error
from ardm.runner.environment import environment
from ardm.runner.evaluation import EvaluationHook
from ardm.runner.heartbeat import LAST_WORDS, Heartbeat
from ardm.runner.pace import Pace
from ardm.store import registry
from ardm.store.retry import Abandoned, Deadline, attend, in_background, retry
from ardm.store.run_directory import Run
from ardm.training.evaluate import Disturbed
from ardm.training.loop import Done, not_finite, train
from ardm.training.state import TrainState, init, template
from ardm.training.state import place as bind

log = logging.getLogger(__name__)
data_log = logging.getLogger("ardm.data")
data_log.setLevel(logging.INFO)  # what a run trains on is shown where warnings are, too

T = TypeVar("T")

PATIENCE, PATIENCE_TO_STOP = 300.0, 60.0
"""Seconds for which the last save is tried: after the last step, when hours of work may wait for a
store to come back or for space on a disk, and after a request to stop."""

ON_NOTICE, ON_NOTICE_SAVED = 25.0, 19.0
"""Seconds from a notice to the end of everything, and those that the save may take of them."""

START_PATIENCE = 120.0
"""Seconds for which a store that fails before the first step is asked again."""


_LONGEST_REASON = 2000
"""Characters of a reason in a message to the other workers."""

Found = tuple[Checkpoint, Any, dict[str, Any]]
"""A checkpoint, its state and its metadata."""


class Leader:
    """Rank 0 of an attempt.

    Args:
        run: the run.
        spec: what is trained.
        context: where, and what may end it.
        number: of the attempt, which is claimed.
        about: what the claim tells.
    """

    def __init__(
        self, run: Run, spec: JobSpec, context: Context, number: int, about: Mapping[str, Any]
    ) -> None:
        self._run, self._spec, self._context, self.number = run, spec, context, number
        self._noticed: float | None = None
        self._token = about.get("token")
        summary = Summarizer(run, self.number, dict(about))
        self._ledger = EventLog(run, self.number, listener=summary.add)
        self._ledger.add("claimed", **about)
        self._state_name = "starting"
        self._step = 0
        self._pace = Pace(spec.training.steps)
        self._curve = Curve()
        self._checkpointer: Checkpointer | None = None
        self._skipped_steps = 0
        self._heartbeat = Heartbeat(run, self.number, self._ledger, self._progress, summary)

    def live(self) -> Ended:
        """From the claim to the end, which is recorded whatever happens."""
        self._heartbeat.start()
        try:
            ended = self._train()
        except Abandoned:
            ended = self._broken_off(self._raise_flag(), self._step, saved="nothing new to save")
        except Exception as error:  # every end of an attempt is an outcome
            ended = of_error(error, self._step, self._context.group.size)
        log.info(
            "attempt %d: %s at step %d (%s)", self.number, ended.outcome, ended.step, ended.reason
        )
        self._state_name = ended.outcome
        self._ledger.add(
            "ended",
            outcome=ended.outcome,
            step=ended.step,
            reason=ended.reason,
            detail=ended.detail,
        )
        self._heartbeat.close(self._deadline(LAST_WORDS, ON_NOTICE))
        return ended

    def _train(self) -> Ended:
        past = self._in_time(lambda: history.read(self._run))
        if hopeless := self._in_time(lambda: self._hopeless(past)):
            self._tell_others(None, hopeless)
            return hopeless
        compiled = compile_time().seconds
        try:
            self._in_time(self._require_spec)
            preparation = prepare.begin(self._run, self._spec, self._context.group)
            self._data, self._model = self._unless_ending(preparation.loaded)
            self._log_data()
            self._curve = past.curve
            in_background(lambda: past.write_roll_up(self._run), "ardm-roll-up")
            newest = self._newest()
        except Abandoned:  # the others may be far from listening, and Ray restarts the group
            raise
        except Exception as error:  # the others wait for word
            self._tell_others(None, of_error(error, 0, self._context.group.size))
            raise
        found = self._restore(*newest)
        self._step = int(found.step)
        self._curve.rewind(self._step)
        checkpointer = self._checkpointer = self._in_time(
            lambda: Checkpointer(
                self._run,
                self.number,
                self._spec.checkpoint,
                self._ledger,
                self._step,
                about={
                    "spec": self._spec.model_dump(mode="json"),
                    "environment": environment(self._data.sha256),
                },
                token=self._token,
            )
        )
        evaluation = EvaluationHook(
            self._run,
            self._spec,
            self._data,
            self._model,
            self._heartbeat,
            self._ledger,
            self._curve,
        )
        begin, flag = time.monotonic(), NOTHING
        work = self._unless_ending(preparation.ready)
        state = bind(found)
        try:
            for done in train(work, state, self._raise_flag):
                if self._state_name == "starting":
                    self._note_first(done, time.monotonic() - begin, compiled)
                state, flag = self._after_step(done, checkpointer, evaluation)
                if flag:
                    break
        except Diverged as error:
            # A save under way is of an earlier step, and the newest that anybody can go on from.
            checkpointer.wait(self._deadline(PATIENCE_TO_STOP, ON_NOTICE_SAVED).left())
            kept = f"The newest checkpoint is of step {checkpointer.saved_step}."
            raise Diverged(f"{error} {kept}") from error
        if flag == SUPERSEDED:
            checkpointer.superseded_by = self._heartbeat.superseded_by or checkpointer.superseded_by
            checkpointer.raise_if_superseded()
        return self._finish(state, flag, checkpointer, evaluation)

    def _log_data(self) -> None:
        """Log which images the run trains on, and what of its folder is left out."""
        data_log.info("%s", self._data.describe())
        for warning in self._data.report.warnings():
            data_log.warning("data set %s: %s", self._data.name, warning)

    def _note_first(self, done: Done, seconds: float, compiled_before: float) -> None:
        """Note the first step of the attempt, and how much of its time went into compiling."""
        self._state_name = "training"
        compiled = round(compile_time().seconds - compiled_before, 3)
        self._ledger.add(
            "first_step", step=done.step, seconds=round(seconds, 3), compile_s=compiled
        )

    def _after_step(
        self, done: Done, checkpointer: Checkpointer, evaluation: EvaluationHook
    ) -> tuple[TrainState, int]:
        self._step = done.step
        point = self._pace.step(done.step, float(done.metrics.nelbo_bpd))
        last = done.step == self._spec.training.steps
        evaluating = self._spec.evaluation.due(done.step) and not last and not done.flag
        checkpointer.offer(done.step, done.state, self._pace.step_s, pause=evaluating)
        if not done.finite:
            self._left_out(done)
        self._heartbeat.scalar("train/nelbo_bpd", point, done.step)
        self._heartbeat.scalar("train/grad_norm", float(done.metrics.grad_norm), done.step)
        if window := self._pace.window():
            self._curve.add(self._ledger.add("trained", step=done.step, **window))
            self._heartbeat.scalar("train/steps_per_s", window["steps_per_s"], done.step)
        if self._context.on_step:
            self._context.on_step(self._record(done))
        if evaluating:
            with self._pace.paused(), suppress(Disturbed, Abandoned):
                self._evaluate(evaluation, done.state, final=False)
        return done.state, done.flag

    def _record(self, done: Done) -> StepRecord:
        return StepRecord(
            done.step,
            self._spec.training.steps,
            float(done.metrics.nelbo_bpd),
            float(done.metrics.grad_norm),
            self._pace.now()["steps_per_s"],
        )

    def _left_out(self, done: Done) -> None:
        """Note a step that was not finite; only the first one is worth a line of the log."""
        reason = not_finite(done.metrics)
        if not self._skipped_steps:
            log.warning(
                "step %d is left out: %s; `ardm status` counts such steps", done.step, reason
            )
        self._skipped_steps += 1
        self._ledger.add("skipped_step", step=done.step, reason=reason)

    def _finish(
        self, state: TrainState, flag: int, checkpointer: Checkpointer, evaluation: EvaluationHook
    ) -> Ended:
        step = int(state.step)
        self._state_name = "draining" if flag == PREEMPT else "saving"
        deadline = self._deadline(PATIENCE_TO_STOP if flag else PATIENCE, ON_NOTICE_SAVED)
        try:
            checkpointer.finish(step, state, deadline)
        except SaveFailed as error:
            if self._noticed is None and flag != RESIZE:
                raise
            # Another group does these steps again, and may find the store in order.
            why = self._context.notice.reason or self._context.resize.reason
            return Ended(Outcome.STORAGE_FAULT, step, f"{why}; {error}")
        if flag:
            return self._broken_off(flag, step)
        try:
            self._evaluate(evaluation, state, final=True)
        except (Disturbed, Abandoned):
            # The work is done and saved; the next attempt has only this evaluation to do.
            return self._broken_off(self._raise_flag(), step)
        return Ended(Outcome.COMPLETED, step, f"all {step} steps done and saved")

    def _evaluate(self, evaluation: EvaluationHook, state: TrainState, *, final: bool) -> None:
        """Evaluate on a thread of its own: the first time compiles, and a notice cannot wait."""
        go_on = self._undisturbed
        attend(
            lambda: evaluation.evaluate(state, final=final, go_on=go_on),
            lambda: not go_on(),
            "ardm-evaluation",
        )

    def _broken_off(self, flag: int, step: int, saved: str = "saved") -> Ended:
        """The end of an attempt whose state is saved."""
        if flag == SUPERSEDED:
            return Ended(Outcome.SUPERSEDED, step, "a newer attempt holds the run")
        if flag == STOP:
            return Ended(Outcome.STOPPED, step, f"asked to stop; {saved}")
        if flag == RESIZE:
            return Ended(Outcome.RESIZED, step, f"{self._context.resize.reason}; saved")
        reason = self._context.notice.reason or "another worker got a notice"
        return Ended(Outcome.PREEMPTED, step, f"{reason}; {saved}")

    def _newest(self) -> tuple[float, Found | None]:
        """When the search began, and the newest checkpoint, if it is of these data."""
        begin = time.monotonic()
        like = template(self._model, self._spec.training)
        found = self._newest_sound(like)
        if found:
            place, _, metadata = found
            continuation.require_reachable(self._run, place.step, self._spec)
            now = self._data.sha256
            old = self._in_time(lambda: agreement.require_data_of_run(place, metadata, now))
            if old:
                log.warning("the data are others than before (SHA-256 %s -> %s)", old, now)
                self._ledger.add("data_changed", step=place.step, old=old, new=now)
        return begin, found

    def _restore(self, begin: float, found: Found | None) -> TrainState:
        """The state to begin with, the same on all ranks, not bound to the device."""
        chosen = [found[0].attempt, found[0].step] if found else None
        environments = [one["environment"] for one in self._tell_others(chosen)]
        if differ := agreement.differences(environments):
            log.warning("equal bits are not promised: %s", "; ".join(differ))
            self._ledger.add("workers_differ", differences=differ)
        agreement.require_one_data_set(environments)
        seconds, sha256 = round(time.monotonic() - begin, 3), self._data.sha256
        data = self._data.as_json()
        if found is None:
            log.info("attempt %d starts from scratch", self.number)
            self._ledger.add("started", step=0, seconds=seconds, data_sha256=sha256, data=data)
            model, spec = self._model, self._spec
            return self._unless_ending(lambda: init(model, spec.training, spec.seed))
        place, host, metadata = found
        log.info("attempt %d goes on from step %d of %s", self.number, place.step, place.uri)
        self._ledger.add(
            "restored",
            step=place.step,
            digest=metadata["digest"],
            from_attempt=place.attempt,
            seconds=seconds,
            data_sha256=sha256,
            data=data,
        )
        config = self._spec.training
        if change := continuation.rate_change(metadata.get("spec"), config, place.step):
            log.warning("%s", change)
            self._ledger.add("learning_rate", **change._asdict())
        return host

    def _tell_others(
        self, checkpoint: list[int] | None, end: Ended | None = None
    ) -> list[dict[str, Any]]:
        """Tell the others how to begin, or that there is nothing to do; every worker's message."""
        message = {
            "attempt": self.number,
            "checkpoint": checkpoint,
            "end": end and [end.outcome, end.reason[:_LONGEST_REASON]],
            "environment": {} if end else agreement.brief(environment(self._data.sha256)),
        }
        data, group = json.dumps(message).encode(), self._context.group
        # The others come here once they have their data, and a notice leaves no time to wait.
        return [json.loads(one) for one in self._unless_ending(lambda: group.exchange(data))]

    def _hopeless(self, past: history.History) -> Ended | None:
        """Why another attempt of this submission would end as the ones before it."""
        if event := control.failure(past.records, self.number):
            reason = f"rank {event['rank']}: {event['reason']}"
            return Ended(Outcome(event["outcome"]), event["step"], reason, event["detail"])
        limit = self._spec.scaling.max_attempts_without_progress
        if loop := control.crash_loop(
            self._run, past.records, self.number, limit, self._context.gone
        ):
            reason = (
                f"attempts {loop.attempts} saved nothing new; the last one: {loop.last_reason}. "
                "Look at `ardm logs`, then submit the run again."
            )
            return Ended(Outcome.FAILED, self._step, reason)
        return None

    def _newest_sound(self, like: Any) -> Found | None:
        """The newest sound checkpoint; one that cannot be read is waited for, then passed over."""
        try:
            return self._in_time(
                lambda: restore.newest_verified(self._run, like, self._skip, fall_back=False)
            )
        except Exception as error:  # which ones may pass is for the outcome to say
            if not of_the_store(error):
                raise
            log.warning("the newest checkpoint cannot be read (%s)", error)
        return self._unless_ending(lambda: restore.newest_verified(self._run, like, self._skip))

    def _skip(self, checkpoint: Checkpoint, reason: Exception) -> None:
        """Record that a checkpoint is passed over; what is damaged is quarantined."""
        if isinstance(reason, Unfinished):
            log.warning("checkpoint %s is unfinished and is passed over", checkpoint.uri)
        elif isinstance(reason, Damaged):
            moved = preservation.quarantine(checkpoint)
            log.warning("checkpoint %s is damaged (%s); kept at %s", checkpoint.uri, reason, moved)
        else:
            log.warning("checkpoint %s cannot be read (%s); left there", checkpoint.uri, reason)
        self._ledger.add(
            "skipped",
            step=checkpoint.step,
            from_attempt=checkpoint.attempt,
            reason=f"{type(reason).__name__}: {reason}",
        )

    def _require_spec(self) -> None:
        """Refuse to train a spec that was replaced between its reading and the claim."""
        if registry.conflicts(registry.read_spec(self._run), self._spec):
            raise Superseded(
                f"the spec of run {self._run.name} was replaced while attempt {self.number} began; "
                "run the same command again"
            )

    def _raise_flag(self) -> int:
        if self._heartbeat.superseded_by or (
            self._checkpointer and self._checkpointer.superseded_by
        ):
            return SUPERSEDED
        if reason := self._context.notice.reason:
            if self._noticed is None:
                self._noticed = time.monotonic()
                self._ledger.add("notice", step=self._step, reason=reason)
            return PREEMPT
        if self._heartbeat.stop_requested:
            return STOP
        return RESIZE if self._context.resize.reason else NOTHING

    def _deadline(self, seconds: float, on_notice: float) -> Deadline:
        """So many seconds from now; or so many from a notice, if there is or comes one."""

        def urgent() -> float | None:
            self._raise_flag()
            return None if self._noticed is None else self._noticed + on_notice

        return Deadline(seconds, urgent=urgent)

    def _in_time(self, work: Callable[[], T]) -> T:
        """Do what needs the store before the first step; a fault of the store is waited out."""
        deadline = self._deadline(START_PATIENCE, 0.0)
        return self._unless_ending(lambda: retry(work, deadline, of_the_store))

    def _unless_ending(self, work: Callable[[], T]) -> T:
        """Do what comes before the first step, until which there is nothing to save.

        In a group, only a notice ends rank 0 alone: the error that it ends with restarts the group.

        Raises:
            Abandoned: the attempt is to end.
        """
        ends = (STOP, PREEMPT, SUPERSEDED) if self._context.group.size == 1 else (PREEMPT,)
        return attend(work, lambda: self._raise_flag() in ends, "ardm-start")

    def _undisturbed(self) -> bool:
        return self._raise_flag() == NOTHING

    def _progress(self) -> dict[str, Any]:
        checkpointer = self._checkpointer
        return {
            "attempt": self.number,
            "state": "saving" if checkpointer and checkpointer.saving else self._state_name,
            "step": self._step,
            "total_steps": self._spec.training.steps,
            "saved_step": checkpointer.saved_step if checkpointer else None,
            "saved_time": checkpointer.saved_time if checkpointer else None,
            "save_error": checkpointer.error if checkpointer else None,
            **self._pace.now(),
        }

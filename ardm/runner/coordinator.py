"""Process 0 of an attempt: claims it, chooses the checkpoint, saves, evaluates and records."""

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TypeVar

from ardm.checkpoint import garbage
from ardm.checkpoint.checkpointer import Checkpointer
from ardm.errors import Diverged, SaveFailed, Superseded
from ardm.events import history, kinds
from ardm.events.event_log import EventLog
from ardm.events.events import Event, Outcome
from ardm.events.summaries import Summarizer
from ardm.job.spec import JobSpec
from ardm.runner import agreement, alerts, claiming, control
from ardm.runner.alerts import Alerts
from ardm.runner.context import (
    NOTHING,
    PREEMPT,
    RESIZE,
    SUPERSEDED,
    Context,
    Ended,
    NothingToDo,
    of_error,
)
from ardm.runner.environment import environment
from ardm.runner.heartbeat import Heartbeat
from ardm.runner.hooks import EvaluationHook, ReportHook
from ardm.runner.interrupts import Interrupts
from ardm.runner.limits import Limits
from ardm.runner.prepare import Preparation
from ardm.runner.restoring import LoadedCheckpoint, Restorer
from ardm.store import registry
from ardm.store.retry import Abandoned, attend, in_background
from ardm.store.run_directory import Run
from ardm.trackers import choose
from ardm.training.evaluate import Disturbed
from ardm.training.loop import Done
from ardm.training.state import TrainState

T = TypeVar("T")

log = logging.getLogger(__name__)

_LONGEST_REASON = 2000
"""Longest reason, in characters, in a message to the other workers."""


class Coordinator:
    """The part of process 0 in `ardm.runner.attempt.run_attempt`."""

    def __init__(self, run: Run, spec: JobSpec, context: Context) -> None:
        self._run, self._spec, self._context = run, spec, context
        self._began = time.time()
        self._state_name = "starting"
        self._step, self._flag = 0, NOTHING
        self._number: int | None = None
        self._alerts = Alerts(run, spec, alone="submission" not in context.metadata)
        self._checkpointer: Checkpointer | None = None

    def begin(self) -> None:
        """Claim the next attempt, and end it at once if it is pointless.

        Raises:
            NothingToDo: the attempt would end as earlier ones of its submission.
            Superseded: the spec was replaced before the claim.
        """
        number, claim = claiming.claim(self._run, self._spec, self._context, self._began)
        self._token = claim["token"]
        summary = Summarizer(self._run, number, dict(claim))

        def listen(event: Event) -> None:
            summary.add(event)
            self._alerts.heard(event)

        self._events = EventLog(self._run, number, listener=listen)
        self._events.add(kinds.Claimed(**claim))
        self._heartbeat = Heartbeat(
            self._run, number, self._events, self._progress, summary, timings=self._context.timings
        )
        self._interrupts = Interrupts(
            self._context, self._events, self._heartbeat, self._superseded, lambda: self._step
        )
        self._reporting = ReportHook(self._spec.training.steps, self._events, self._heartbeat)
        self._number = number
        self._heartbeat.start()
        garbage.sweep_beside(self._run)
        past = self._interrupts.in_time(lambda: history.read(self._run))
        self._reporting.curve = past.curve
        earlier = [record for record in past.records if record.attempt < number]
        self._interrupts.limits = Limits(self._spec, earlier, self._context.group.size, self._began)
        if earlier and earlier[-1].silent:
            self._alerts.interrupted(earlier[-1].attempt, "ended without a word, as when killed")
        limit = self._spec.scaling.max_attempts_without_progress
        hopeless = self._interrupts.in_time(
            lambda: control.hopeless(self._run, past.records, number, limit, self._context.gone)
        )
        if hopeless:
            self._alerts.is_crash_loop = hopeless.outcome == Outcome.FAILED
            self._send(None, hopeless)
            raise NothingToDo(hopeless)
        self._unless_refused(lambda: self._interrupts.in_time(self._require_spec))
        in_background(lambda: past.write_roll_up(self._run), "ardm-roll-up")

    def restore(self, preparation: Preparation) -> TrainState:
        """The state to begin with, on the host; the other workers restore the same state."""
        restorer = Restorer(self._run, self._spec, self._events, self._interrupts)

        def load_newest() -> tuple[float, LoadedCheckpoint | None]:
            self._interrupts.unless_ending(preparation.loaded)
            preparation.log_data()
            return time.monotonic(), restorer.newest(preparation)

        begin, newest = self._unless_refused(load_newest)
        self._data_sha256 = preparation.loaded()[0].sha256
        environments = [message["environment"] for message in self._send(newest)]
        if differ := agreement.differences(environments):
            log.warning("equal bits are not promised: %s", "; ".join(differ))
            self._events.add(kinds.WorkersDiffer(differences=differ))
        agreement.require_one_data_set(environments)
        self._state = restorer.state(preparation, newest, time.monotonic() - begin)
        self._step = int(self._state.step)
        self._reporting.curve.rewind(self._step)
        self._checkpointer = self._interrupts.in_time(self._make_checkpointer)
        data, model = preparation.loaded()
        self._evaluation = EvaluationHook(
            self._run, self._spec, data, model,
            self._heartbeat, self._events, self._reporting.curve,
        )  # fmt: skip
        about, saved = choose.about(self._run, self._spec), self._saver
        self._heartbeat.track(self._step + 1, about, self._spec.trackers, lambda: saved.saved_step)
        self._reporting.begin()
        self._interrupts.unless_ending(preparation.ready)
        return self._state

    def flag(self) -> int:
        """The flag that process 0 raises in the next step."""
        return self._interrupts.flag()

    def after_step(self, done: Done) -> None:
        """Report a step, begin a save if one is due, and evaluate if that is due."""
        self._step, self._flag, self._state = done.step, done.flag, done.state
        last = done.step == self._spec.training.steps
        evaluating = self._spec.evaluation.due(done.step) and not last and not done.flag
        self._reporting.after_step(done)
        self._state_name = "training"
        pace = self._reporting.pace
        self._saver.offer(done.step, done.state, pace.step_s, pause=evaluating)
        if self._context.on_step:
            self._context.on_step(self._reporting.record(done))
        if evaluating:
            with pace.paused(), suppress(Disturbed, Abandoned):
                self._evaluate(final=False)

    def finish(self) -> Ended:
        """Save the last state; after the last step of the job evaluate it, too."""
        if self._flag == SUPERSEDED:
            self._saver.superseded_by = self._heartbeat.superseded_by or self._saver.superseded_by
            self._saver.raise_if_superseded()
        self._state_name = "draining" if self._flag == PREEMPT else "saving"
        timings = self._context.timings
        seconds = timings.last_save_to_stop if self._flag else timings.last_save
        deadline = self._interrupts.deadline(seconds, timings.notice_save)
        try:
            self._saver.finish(self._step, self._state, deadline)
        except SaveFailed as error:
            if not self._interrupts.noticed and self._flag != RESIZE:
                raise
            # The next group of workers does these steps again; for it the store may work.
            why = self._context.notice.reason or self._context.resize.reason
            return Ended(Outcome.STORAGE_FAULT, self._step, f"{why}; {error}")
        if self._flag:
            return self._interrupts.ended(self._flag)
        try:
            self._evaluate(final=True)
        except (Disturbed, Abandoned):
            # All steps are done and saved; the next attempt only has to evaluate.
            return self._interrupts.ended(self._interrupts.flag())
        return Ended(Outcome.COMPLETED, self._step, f"all {self._step} steps done and saved")

    def ended_by(self, error: Exception) -> Ended:
        """How the attempt ends because of an error."""
        if isinstance(error, NothingToDo):
            return error.ended
        if isinstance(error, Abandoned):
            if self._number is None:
                reason = f"{self._context.notice.reason}; nothing new to save"
                return Ended(Outcome.PREEMPTED, 0, reason)
            return self._interrupts.ended(self._interrupts.flag(), saved="nothing new to save")
        if isinstance(error, Diverged) and self._checkpointer:
            # A save under way is of an earlier, finite state, so it is worth waiting for.
            timings = self._context.timings
            seconds = timings.last_save_to_stop
            deadline = self._interrupts.deadline(seconds, timings.notice_save)
            self._checkpointer.wait(deadline.left())
            kept = f"The newest checkpoint is of step {self._checkpointer.saved_step}."
            error = Diverged(f"{error} {kept}")
        return of_error(error, self._step, self._context.group.size)

    def close(self, ended: Ended) -> None:
        """Record the end, and write everything that is left to the store."""
        if self._number is None:
            return
        log.info(
            "attempt %d: %s at step %d (%s)",
            self._number,
            ended.outcome,
            ended.step,
            ended.reason,
        )
        self._state_name = ended.outcome
        self._events.add(kinds.Ended(**asdict(ended)))
        timings = self._context.timings
        deadline = self._interrupts.deadline(timings.last_words, timings.notice)
        pressed = self._interrupts.noticed
        self._heartbeat.close(deadline, goes_on=not ended.outcome.ends_the_job, pressed=pressed)
        self._alerts.close(alerts.ON_NOTICE if pressed else alerts.AT_END)

    @property
    def _saver(self) -> Checkpointer:
        """The checkpointer, which exists from the first step on."""
        assert self._checkpointer
        return self._checkpointer

    def _superseded(self) -> bool:
        """Whether a save has found a newer claim."""
        return self._checkpointer is not None and self._checkpointer.superseded_by is not None

    def _make_checkpointer(self) -> Checkpointer:
        assert self._number
        metadata = {
            "spec": self._spec.copy_for_records(),
            "environment": environment(self._data_sha256),
        }
        return Checkpointer(
            self._run,
            self._number,
            self._spec.checkpoint,
            self._events,
            self._step,
            metadata=metadata,
            token=self._token,
            before_commit=self._heartbeat.keep_records,
        )

    def _evaluate(self, *, final: bool) -> None:
        """Evaluate on a thread, so that a preemption notice need not wait for it to compile."""
        state, go_on = self._state, self._interrupts.none_pending
        attend(
            lambda: self._evaluation.evaluate(state, final=final, go_on=go_on),
            lambda: not go_on(),
            "ardm-evaluation",
        )

    def _require_spec(self) -> None:
        """Refuse to train a spec that was replaced after it was read and before the claim."""
        if registry.conflicts(registry.read_spec(self._run), self._spec):
            raise Superseded(
                f"the spec of run {self._run.name} was replaced while attempt {self._number} "
                "began; run the same command again"
            )

    def _unless_refused(self, work: Callable[[], T]) -> T:
        """Do some work; if it fails, send the end to the other workers, which wait for a message.

        If it is abandoned nothing is sent: they may not listen yet, and Ray restarts the group.
        """
        try:
            return work()
        except Abandoned:
            raise
        except Exception as error:
            self._send(None, of_error(error, 0, self._context.group.size))
            raise

    def _send(
        self, newest: LoadedCheckpoint | None, end: Ended | None = None
    ) -> list[dict[str, Any]]:
        """Send the other workers the checkpoint or the end; returns the messages of all workers."""
        message = {
            "attempt": self._number,
            "checkpoint": [newest[0].attempt, newest[0].step] if newest else None,
            "end": end and [end.outcome, end.reason[:_LONGEST_REASON]],
            "environment": {} if end else agreement.brief(environment(self._data_sha256)),
        }
        data, group = json.dumps(message).encode(), self._context.group
        # The other workers answer once they have the data; a notice leaves no time for that.
        messages = self._interrupts.unless_ending(lambda: group.exchange(data))
        return [json.loads(answer) for answer in messages]

    def _progress(self) -> dict[str, Any]:
        """What `ardm status` and `ardm watch` show of this attempt."""
        saver = self._checkpointer
        return {
            "attempt": self._number,
            "state": "saving" if saver and saver.saving else self._state_name,
            "step": self._step,
            "total_steps": self._spec.training.steps,
            "saved_step": saver.saved_step if saver else None,
            "saved_time": saver.saved_time if saver else None,
            "save_error": saver.error if saver else None,
            **self._reporting.now(),
        }

"""What process 0 reports while it trains: the loss curve, the pace, steps that were left out."""

import logging
import time
from typing import Any

from ardm.events.curve import Curve
from ardm.events.event_log import EventLog
from ardm.runner.compile_time import compile_time
from ardm.runner.heartbeat import Heartbeat
from ardm.runner.pace import Pace
from ardm.training.loop import Done, not_finite

log = logging.getLogger(__name__)


class ReportHook:
    """Reports the steps of an attempt.

    Args:
        total_steps: of the job.
        events: of the attempt.
        heartbeat: takes the scalars for TensorBoard.
    """

    def __init__(self, total_steps: int, events: EventLog, heartbeat: Heartbeat) -> None:
        self._events, self._heartbeat = events, heartbeat
        self.curve = Curve()
        """Of the run so far."""
        self.pace = Pace(total_steps)
        self._skipped = 0
        self._compiled = compile_time().seconds
        self._began = time.monotonic()
        self._has_trained = False

    def begin(self) -> None:
        """Nothing but compiling is left to be done before the first step."""
        self._began = time.monotonic()

    def after_step(self, done: Done) -> None:
        """Take in a finished step."""
        if not self._has_trained:
            self._first(done)
        nelbo = self.pace.step(done.step, float(done.metrics.nelbo_bpd))
        if not done.finite:
            self._left_out(done)
        self._heartbeat.scalar("train/nelbo_bpd", nelbo, done.step)
        self._heartbeat.scalar("train/grad_norm", float(done.metrics.grad_norm), done.step)
        if window := self.pace.window():
            self.curve.add(self._events.add("trained", step=done.step, **window))
            self._heartbeat.scalar("train/steps_per_s", window["steps_per_s"], done.step)

    def now(self) -> dict[str, Any]:
        """Rate, remaining seconds and mean NELBO, for the progress."""
        return self.pace.now()

    def _first(self, done: Done) -> None:
        """Record the first step, and how much of its time went into compiling."""
        self._has_trained = True
        seconds = time.monotonic() - self._began
        compiled = round(compile_time().seconds - self._compiled, 3)
        self._events.add(
            "first_step", step=done.step, seconds=round(seconds, 3), compile_s=compiled
        )

    def _left_out(self, done: Done) -> None:
        """Record a step that was not finite; only the first one is worth a line of the log."""
        reason = not_finite(done.metrics)
        if not self._skipped:
            log.warning(
                "step %d is left out: %s; `ardm status` counts such steps", done.step, reason
            )
        self._skipped += 1
        self._events.add("skipped_step", step=done.step, reason=reason)

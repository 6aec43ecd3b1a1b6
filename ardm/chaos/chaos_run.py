"""Submits a run, injects the planned faults, and submits the run again when its Ray job is gone."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ardm.chaos.faults import inject
from ardm.chaos.reference import Command
from ardm.chaos.schedule import PlannedFault
from ardm.chaos.targets import NoTarget, Targets
from ardm.chaos.verdict import TROUBLE, InjectedFault
from ardm.cluster import submission
from ardm.errors import JobFailed
from ardm.events.events import Outcome
from ardm.outages import of_the_store
from ardm.runner import control
from ardm.runner.context import Ended
from ardm.store.claims import stale_s

T = TypeVar("T")

POLL_S, JOB_POLL_S = 0.2, 2.0
"""The progress of the run is read once per `POLL_S` seconds, the state of its Ray job once per
`JOB_POLL_S` seconds."""

FRESH = 8.0
"""An attempt counts as training if its progress file is at most this old (seconds)."""

SURELY = 25.0
"""An attempt that still trains this long after a fault has survived the fault (seconds)."""

ENDING = ("worker", "node", "controller", "driver", "head", "drain", "damage", "torn", "signals")
"""Kinds of faults that end an attempt."""


class RunEnded(Exception):
    """The run has ended, or the time for it is over."""


class ChaosRun:
    """One run into which faults are injected.

    Args:
        targets: the faults are injected into these.
        command: the command line that submits the job.
        report: called with each line of progress for the user.
    """

    def __init__(self, targets: Targets, command: Command, report: Callable[[str], None]) -> None:
        self._targets, self.command, self._report = targets, command, report
        self.injected: list[InjectedFault] = []
        self.submissions = 0
        self.seconds = 0.0
        """Seconds from the first submission to the end of the run."""
        self._begin = self._job_polled = time.monotonic()
        self._deadline = float("inf")
        self._submission: submission.Submission | None = None
        """The newest submission that could be read; a fault may have torn its file since."""

    def execute(self, planned: Sequence[PlannedFault], timeout_s: float) -> None:
        """Submit the job, inject the faults, and wait for the end of the run.

        Args:
            planned: The faults in order of their time, which counts from the first trained step.
                A fault is injected only after the run has recovered from the one before.
            timeout_s: The method returns after this many seconds even if the run has not ended.

        Raises:
            JobFailed: The job could not be submitted within that time.
        """
        self._begin, self._deadline = time.monotonic(), time.monotonic() + timeout_s
        try:
            self._submit()
            self._wait(self._trains)
            first_step = time.monotonic()
            for fault in planned:
                while time.monotonic() < first_step + fault.time:
                    self._pause()
                self._inject(fault)
            self._wait(lambda: False)
        except RunEnded:
            return
        finally:
            self.seconds = time.monotonic() - self._begin

    def _inject(self, planned: PlannedFault) -> None:
        while True:
            if planned.kind not in TROUBLE:
                self._wait(self._trains)
            try:
                injected = inject(self._targets, planned)
            except NoTarget:
                self._pause()
                continue
            self.injected.append(injected)
            self._log(
                f"{planned.kind}: {injected.told} "
                f"(attempt {injected.attempt}, step {injected.step})"
            )
            return

    def _wait(self, ready: Callable[[], Any]) -> None:
        while not ready():
            self._pause()

    def _pause(self) -> None:
        """Sleep briefly, run the deferred actions that are due, and check on the Ray job."""
        time.sleep(POLL_S)
        self._targets.run_due_actions()
        now = time.monotonic()
        if now > self._deadline:
            raise RunEnded
        if now - self._job_polled >= JOB_POLL_S:
            self._query(self._resubmit_if_gone)
            self._job_polled = time.monotonic()

    def _resubmit_if_gone(self) -> None:
        """Submit the run again, as a user would, if its Ray job is gone before the run is done.

        Raises:
            RunEnded: the run is done, or its jobs have vanished more often than faults explain.
        """
        run = self._targets.run
        number = run.newest_attempt()
        ended = control.ended(run, number) if number else None
        if ended and ended.outcome.ends_the_job and not self._was_signaled(number, ended):
            self._log(f"attempt {number}: {ended.outcome} at step {ended.step}")
            raise RunEnded
        newest = self._submission = submission.newest(run) or self._submission
        if newest and self._is_gone(newest):
            if self.submissions > len(self.injected) + 2:
                self._log(
                    f"the job {newest.submission_id} is gone; giving up, because more jobs have "
                    "vanished than faults explain"
                )
                raise RunEnded
            self._log(f"the job {newest.submission_id} is gone; submitting the run again")
            self._submit()

    def _was_signaled(self, number: int, ended: Ended) -> bool:
        """Whether an injected signal stopped the attempt, so that the run has to be resumed."""
        signaled = any(f.kind == "signals" and f.attempt == number for f in self.injected)
        return signaled and ended.outcome == Outcome.STOPPED

    def _is_gone(self, job: submission.Submission) -> bool:
        """Whether a job has ended, or belongs to a cluster that has been replaced."""
        elsewhere = job.address != self._targets.nodes.jobs
        return elsewhere or submission.status(job) in ("FAILED", "STOPPED", "SUCCEEDED")

    def _submit(self) -> None:
        """Submit the run; try again while the store or Ray does not answer."""
        targets = self._targets
        while self.command(
            "submit", targets.run.store.uri, targets.run.name, "--address", targets.nodes.jobs
        ):
            if time.monotonic() > self._deadline:
                raise JobFailed(f"the run cannot be submitted:\n{self.command.tail()}")
            time.sleep(1.0)
            targets.run_due_actions()
        self.submissions += 1

    def _trains(self) -> bool:
        """Whether an attempt trains that has survived, or begun after, all faults so far."""
        progress = self._query(self._targets.watch.progress) or {}
        age = time.time() - progress.get("time", 0.0)
        fresh = age < max(FRESH, stale_s(progress.get("beat_s", 0.0)))
        if not fresh or progress["state"] not in ("training", "saving"):
            return False
        last = self.injected[-1] if self.injected else None
        if last is None or last.kind in TROUBLE:
            return True
        if last.kind not in ENDING:
            return min(time.time(), progress["time"]) > last.until
        return progress["attempt"] > last.attempt or progress["time"] > last.time + SURELY

    def _query(self, read: Callable[[], T]) -> T | None:
        """Read from the store; None if it does not answer in time, as on a busy machine."""
        try:
            return read()
        except Exception as error:
            if not of_the_store(error):
                raise
            return None

    def _log(self, text: str) -> None:
        seconds = time.monotonic() - self._begin
        self._report(f"{int(seconds // 60):3d}:{seconds % 60:02.0f}  {text}")

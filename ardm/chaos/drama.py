"""Plays the faults on a run that is submitted, and submitted again where Ray cannot go on."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ardm.chaos.faults import inject
from ardm.chaos.reference import Command
from ardm.chaos.schedule import Planned
from ardm.chaos.stage import NoVictim, Stage
from ardm.chaos.verdict import TROUBLE, Injected
from ardm.cluster import submission
from ardm.errors import JobFailed
from ardm.events.events import Outcome
from ardm.outages import of_the_store
from ardm.runner import control
from ardm.runner.context import Ended
from ardm.store.claims import stale_s

T = TypeVar("T")

BEAT, LOOK = 0.2, 2.0
"""Seconds between two looks at the run, and at its job."""

FRESH = 8.0
"""Seconds since its last progress in which an attempt is taken to train."""

SURELY = 25.0
"""Seconds after a fault at which an attempt that still trains has survived it."""

ENDING = ("worker", "node", "controller", "driver", "head", "drain", "damage", "torn", "signals")
"""Faults that end an attempt."""


class Over(Exception):
    """The run has ended."""


class Drama:
    """One run among faults.

    Args:
        stage: what faults happen to.
        command: submits the job.
        tell: takes lines for people.
    """

    def __init__(self, stage: Stage, command: Command, tell: Callable[[str], None]) -> None:
        self._stage, self.command, self._tell = stage, command, tell
        self.injected: list[Injected] = []
        self.submissions = 0
        self.seconds = 0.0
        """From the first submission to the end."""
        self._begin = self._looked = time.monotonic()
        self._deadline = float("inf")
        self._submission: submission.Submission | None = None
        """The newest one that could be read: its file may be torn meanwhile."""

    def play(self, planned: Sequence[Planned], patience: float) -> None:
        """Submit the job, make the faults happen, and wait for the end.

        Args:
            planned: in order of time, which counts from the first trained step. A fault waits
                until the run has recovered from the one before.
            patience: seconds for all of it.

        Raises:
            JobFailed: the job cannot be submitted, or patience is over.
        """
        self._begin, self._deadline = time.monotonic(), time.monotonic() + patience
        try:
            self._submit()
            self._wait(self._trains)
            curtain = time.monotonic()
            for fault in planned:
                while time.monotonic() < curtain + fault.time:
                    self._pause()
                self._strike(fault)
            self._wait(lambda: False)
        except Over:
            return
        finally:
            self.seconds = time.monotonic() - self._begin

    def _strike(self, planned: Planned) -> None:
        while True:
            if planned.kind not in TROUBLE:
                self._wait(self._trains)
            try:
                done = inject(self._stage, planned)
            except NoVictim:
                self._pause()
                continue
            self.injected.append(done)
            self._say(f"{planned.kind}: {done.told} (attempt {done.attempt}, step {done.step})")
            return

    def _wait(self, ready: Callable[[], Any]) -> None:
        while not ready():
            self._pause()

    def _pause(self) -> None:
        """Let a moment pass, in which whatever is due is done."""
        time.sleep(BEAT)
        self._stage.do_what_is_due()
        now = time.monotonic()
        if now > self._deadline:
            raise Over
        if now - self._looked >= LOOK:
            self._ask(self._look_after_the_job)
            self._looked = time.monotonic()

    def _look_after_the_job(self) -> None:
        """Submit again when the job is gone and its run is not done, as a user would."""
        run = self._stage.run
        number = max(run.attempts(), default=0)
        ended = control.ended(run, number) if number else None
        if ended and ended.outcome.ends_the_job and not self._was_asked(number, ended):
            self._say(f"attempt {number}: {ended.outcome} at step {ended.step}")
            raise Over
        made = self._submission = submission.newest(run) or self._submission
        if made and self._is_gone(made):
            if self.submissions > len(self.injected) + 2:
                self._say(f"the job {made.submission_id} is gone too, once too often")
                raise Over
            self._say(f"the job {made.submission_id} is gone; submitting the run again")
            self._submit()

    def _was_asked(self, number: int, ended: Ended) -> bool:
        """Whether a signal has stopped an attempt, of a run that is wanted all the same."""
        asked = any(f.kind == "signals" and f.attempt == number for f in self.injected)
        return asked and ended.outcome == Outcome.STOPPED

    def _is_gone(self, made: submission.Submission) -> bool:
        """Whether a job has ended, or its cluster is not the present one."""
        elsewhere = made.address != self._stage.nodes.jobs
        return elsewhere or submission.status(made) in ("FAILED", "STOPPED", "SUCCEEDED")

    def _submit(self) -> None:
        """Hand the run over, again and again while the store or Ray does not answer."""
        stage = self._stage
        while self.command(
            "submit", stage.run.store.uri, stage.run.name, "--address", stage.nodes.jobs
        ):
            if time.monotonic() > self._deadline:
                raise JobFailed(f"the run cannot be submitted:\n{self.command.tail()}")
            time.sleep(1.0)
            stage.do_what_is_due()
        self.submissions += 1

    def _trains(self) -> bool:
        """Whether an attempt trains that the faults so far have not ended."""
        progress = self._ask(self._stage.watch.progress) or {}
        silent = time.time() - progress.get("time", 0.0)
        fresh = silent < max(FRESH, stale_s(progress.get("beat_s", 0.0)))
        if not fresh or progress["state"] not in ("training", "saving"):
            return False
        last = self.injected[-1] if self.injected else None
        if last is None or last.kind in TROUBLE:
            return True
        if last.kind not in ENDING:
            return min(time.time(), progress["time"]) > last.until
        return progress["attempt"] > last.attempt or progress["time"] > last.time + SURELY

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Ask the store, which on a busy machine may fail to answer in time; then None."""
        try:
            return question()
        except Exception as error:
            if not of_the_store(error):
                raise
            return None

    def _say(self, text: str) -> None:
        seconds = time.monotonic() - self._begin
        self._tell(f"{int(seconds // 60):3d}:{seconds % 60:02.0f}  {text}")

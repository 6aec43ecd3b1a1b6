"""Background saves: on a timer, fenced against newer attempts, with a digest, and retried."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any

import jax

from ardm.checkpoint import checkpoints, preservation
from ardm.checkpoint.digest import digest
from ardm.checkpoint.leases import Leases
from ardm.checkpoint.save_interval import interval_of
from ardm.checkpoint.stalls import Stalls
from ardm.errors import SaveFailed, Superseded
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.job.config import CheckpointConfig
from ardm.store import claims, overrides
from ardm.store.retry import BACK_OFF, LONGEST_BACK_OFF, Deadline, in_background
from ardm.store.run_directory import Run

log = logging.getLogger(__name__)

SILENCE = 30.0
"""Seconds. A save that runs longer than this, and three times as long as any save before it, is
reported as an error. Training waits no longer than this, even for a step that is to be kept."""


class Checkpointer:
    """Writes the checkpoints of one attempt.

    JAX arrays never change, so a save holds the state of its step while training continues.

    Args:
        run: the run.
        number: the number of the attempt.
        config: the `checkpoint` section of the job file.
        events: the event log in which every save and every failure is recorded.
        restored: the step that the attempt began with, which need not be saved again.
        clock: returns monotonic seconds.
        sleep: waits for so many seconds.
        metadata: added to the metadata of every checkpoint.
        token: the token in the claim of the attempt.
        before_commit: called before a save writes anything, unless training is about to end; what
            it writes is in the store once the checkpoint is.
    """

    def __init__(
        self,
        run: Run,
        number: int,
        config: CheckpointConfig,
        events: EventLog,
        restored: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        metadata: Mapping[str, Any] = MappingProxyType({}),
        token: str | None = None,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._run, self._number, self._config, self._events = run, number, config, events
        self._metadata, self._clock, self._sleep = dict(metadata), clock, sleep
        self._token, self._before_commit = token, before_commit
        self._finishing = False
        self._busy: Future[None] | None = None
        self._busy_step = restored
        self._failures = 0
        self._error: str | None = None
        self._failed_steps: set[int] = set()
        self._bytes = 0
        self._longest = 0.0
        self._swept = False
        self._boundaries = overrides.boundaries(run)
        self._leases = Leases(run, clock)
        self._interval = interval_of(run, number, config, clock)
        self._stalls = Stalls()
        self._began = clock()
        self._next = self._began + self._interval.seconds()
        self.saved_step = restored
        self.saved_time: float | None = None
        """When this attempt last committed a save, in seconds since 1970."""
        self.superseded_by: int | None = None

    @property
    def saving(self) -> bool:
        """Whether a save is under way."""
        return self._busy is not None and not self._busy.done()

    @property
    def error(self) -> str | None:
        """Why the last save failed, or how long one has been hanging; None after a success."""
        under_way = self._clock() - self._began
        if self.saving and under_way > max(SILENCE, 3 * self._longest):
            return f"step {self._busy_step} is being saved for {under_way:.0f} s by now"
        return self._error

    def wait(self, seconds: float) -> bool:
        """Wait for a save under way, at most so many seconds; whether it is over."""
        return self._busy is None or Deadline(seconds).wait(self._busy)

    def offer(
        self, step: int, state: Any, seconds: float | None = None, *, pause: bool = False
    ) -> None:
        """Begin a save of this state in the background if one is due; returns at once.

        At a multiple of `keep_every` a save is always due; it waits for a save under way, as long
        as the store seems to answer.

        Args:
            step: the step of the state.
            state: the state to save.
            seconds: the duration of the step, from which the cost of saves is estimated; None if
                it is not known, as for a step that compiled.
            pause: whether training pauses after this step, which is a good time for a save.
        """
        if seconds is not None:
            self._measure(seconds)
        every = self._config.keep_every
        if every and step % every == 0:
            if not self._wait_to_keep(step):
                return
        elif self.saving or (self._clock() < self._next and not pause):
            return
        self._stalls.begun()
        self._next = self._clock() + self._interval.seconds()
        self._begin(step, state)

    def finish(self, step: int, state: Any, deadline: Deadline) -> None:
        """Save this state and wait for its commit; a save that fails is tried until the deadline.

        A save of an earlier step that is still under way gets at most half of the time. After that
        it is no longer waited for; it writes to a directory of its own.

        Args:
            step: the step of the state.
            state: the state to save.
            deadline: when the waiting ends.

        Raises:
            SaveFailed: the state could not be saved in time.
            Superseded: a newer attempt holds the run.
        """
        self._finishing = True
        if self._busy is not None:
            earlier = self._busy_step != step
            deadline.wait(self._busy, at_most=deadline.left() / 2 if earlier else None)
        pause = BACK_OFF
        while self.saved_step != step:
            hangs = self.saving and self._busy_step == step
            if hangs or deadline.left() <= 0:
                raise SaveFailed(
                    f"step {step} could not be saved to {self._run.uri} within "
                    f"{deadline.spent():.0f} s ({self.error or 'the store does not answer'}); the "
                    f"newest checkpoint is of step {self.saved_step}. Repair the store and run the "
                    "same command again."
                )
            if deadline.wait(self._begin(step, state)):
                self.raise_if_superseded()
                if self._error:
                    self._sleep(min(pause, deadline.left()))
                    pause = min(pause * 2, LONGEST_BACK_OFF)
        self._events.add(kinds.FinalSave(step=step, seconds=round(deadline.spent(), 3)))

    def raise_if_superseded(self) -> None:
        if self.superseded_by is not None:
            raise Superseded(
                f"attempt {self._number} of {self._run.name} is superseded: "
                f"{self._holder()} holds the run now. This one ends; nothing is lost."
            )

    def _holder(self) -> str:
        another = self.superseded_by != self._number
        return f"attempt {self.superseded_by}" if another else "another one of this number"

    def _measure(self, seconds: float) -> None:
        """Measure a step; after the last step during a save, record how much the save cost."""
        stall = self._stalls.step(seconds, saving=self.saving)
        if stall is not None:
            self._interval.stalled(stall)
            self._events.add(kinds.Stalled(step=self.saved_step, seconds=round(stall, 3)))

    def _begin(self, step: int, state: Any) -> Future[None]:
        self._began, self._busy_step = self._clock(), step
        self._busy = in_background(lambda: self._try(step, state), "ardm-save")
        return self._busy

    def _wait_to_keep(self, step: int) -> bool:
        """Wait for a save under way; False if it seems to hang, so that this step is not kept."""
        left = SILENCE - (self._clock() - self._began)
        if self.wait(max(left, 0.0)):
            return True
        log.warning("step %d was to be kept, but %s; training continues", step, self.error)
        return False

    def _try(self, step: int, state: Any) -> None:
        """One save, on its thread; a failure is recorded and logged, and retried later."""
        try:
            self._save(step, state)
        except Exception as error:  # a fault of the store must never end the training
            self._failures += 1
            self._failed_steps.add(step)
            self._error = _one_line(error)
            longest = max(self._interval.seconds(), BACK_OFF)
            pause = min(BACK_OFF * 2 ** (self._failures - 1), longest)
            self._next = self._clock() + pause
            self._events.add(kinds.SaveFailed(step=step, reason=self._error))
            log.warning("step %d could not be saved (%s); it is retried", step, self._error)

    def _save(self, step: int, state: Any) -> None:
        if step == self.saved_step:
            return
        self.superseded_by = claims.newer(self._run, self._number, self._token)
        if self.superseded_by is not None:
            return
        begin = self._clock()
        if not self._finishing:  # the end of an attempt writes the same, and has little time
            self._before_commit()
        self._discard_failed(but=step)
        host = jax.device_get(state)
        sha256 = digest(host)
        metadata = self._metadata | {
            "digest": sha256,
            "step": step,
            "attempt": self._number,
            "time": round(time.time(), 3),
        }
        checkpoint = checkpoints.Checkpoint(self._run, self._number, step)
        retrying = step in self._failed_steps
        # The failed save may have been committed, with only the answer of the store lost: to write
        # it again would remove the newest good checkpoint first.
        if not retrying or not preservation.is_good(checkpoint, sha256):
            self._bytes = checkpoints.save(checkpoint, host, metadata, replace=retrying)
        self._failed_steps.discard(step)
        self.saved_step, self.saved_time = max(step, self.saved_step), time.time()
        self._error, self._failures = None, 0
        seconds = self._clock() - begin
        self._longest = max(self._longest, seconds)
        self._interval.saved(seconds)
        self._next = self._began + self._interval.seconds()
        self._events.add(
            kinds.Saved(
                step=step,
                digest=sha256,
                seconds=round(seconds, 3),
                bytes=self._bytes,
                interval=round(self._interval.seconds(), 1),
            )
        )
        self._prune(checkpoint)

    def _discard_failed(self, but: int) -> None:
        """Remove the files of failed saves, for which a full disk may have no room."""
        for step in sorted(self._failed_steps - {but}):
            preservation.discard(checkpoints.Checkpoint(self._run, self._number, step))
            self._failed_steps.discard(step)

    def _prune(self, newest: checkpoints.Checkpoint) -> None:
        try:
            # An attempt claimed since this save began may be reading an old checkpoint.
            if claims.newer(self._run, self._number, self._token):
                return
            pruned = preservation.prune(
                newest,
                self._config.keep_last,
                self._config.keep_every,
                boundaries=self._boundaries,
                held=self._leases.held,
            )
            if not self._swept:
                for name in preservation.sweep(self._run, self._number):
                    log.warning("%s was never finished and is removed", name)
                self._swept = True
        except Exception as error:  # old ones do no harm; the next save prunes
            log.warning("old checkpoints could not be pruned (%s)", error)
        else:
            log.debug("pruned steps %s", pruned)


def _one_line(error: Exception) -> str:
    """An error on one line; a long one is cut in the middle, since its end may name the cause."""
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return line if len(line) <= 300 else f"{line[:145]} ... {line[-145:]}"

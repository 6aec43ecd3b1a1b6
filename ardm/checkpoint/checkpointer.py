"""Saves beside the training: time-based, fenced, digested, retried, off the training thread."""

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

    JAX arrays never change, so a save holds the state of its step while training goes on.

    Args:
        run: the run.
        number: of the attempt.
        config: the `checkpoint` section.
        events: takes every save and failure.
        restored: the step that the attempt began with, which need not be saved again.
        clock: monotonic seconds.
        sleep: for so many seconds.
        metadata: put into that of every checkpoint, beside what each of them holds.
        token: in the claim of the attempt.
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
    ) -> None:
        self._run, self._number, self._config, self._events = run, number, config, events
        self._metadata, self._clock, self._sleep = dict(metadata), clock, sleep
        self._token = token
        self._busy: Future[None] | None = None
        self._busy_step = restored
        self._failures = 0
        self._error: str | None = None
        self._left_over: set[int] = set()
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
        """Why the last try failed, or how long one hangs; None after a success."""
        under_way = self._clock() - self._began
        if self.saving and under_way > max(SILENCE, 3 * self._longest):
            return f"step {self._busy_step} is being saved for {under_way:.0f} s by now"
        return self._error

    def wait(self, seconds: float) -> bool:
        """Wait for a save under way; whether none is any more."""
        return self._busy is None or Deadline(seconds).wait(self._busy)

    def offer(
        self, step: int, state: Any, seconds: float | None = None, *, pause: bool = False
    ) -> None:
        """Begin a save of this state if it is time for one; returns at once.

        At a multiple of `keep_every` it is always time, and a save under way is waited for, as long
        as the store seems to answer.

        Args:
            step: of the state.
            state: to be saved.
            seconds: that the step took, from which the cost of saves is found; None if it is not
                known, as of a step that compiled.
            pause: whether training pauses after this step, which is a good time for a save.
        """
        if seconds is not None:
            self._measure(seconds)
        every = self._config.keep_every
        if every and step % every == 0:
            if not self._join_for_keeps(step):
                return
        elif self.saving or (self._clock() < self._next and not pause):
            return
        self._stalls.begun()
        self._next = self._clock() + self._interval.seconds()
        self._begin(step, state)

    def finish(self, step: int, state: Any, deadline: Deadline) -> None:
        """Save this state, wait until it is committed, and try again until the deadline.

        A save of an earlier step that is still under way may use up half of the time; then it
        is left to itself, in a directory of its own.

        Args:
            step: of the state.
            state: to be saved.
            deadline: of all of it.

        Raises:
            SaveFailed: it could not be saved in time.
            Superseded: a newer attempt holds the run.
        """
        if self._busy is not None:
            other = self._busy_step != step
            deadline.wait(self._busy, at_most=deadline.left() / 2 if other else None)
        pause = BACK_OFF
        while self.saved_step != step:
            hangs = self.saving and self._busy_step == step
            if hangs or deadline.left() <= 0:
                raise SaveFailed(
                    f"step {step} could not be saved to {self._run.uri} within "
                    f"{deadline.spent():.0f} s ({self.error or 'the store does not answer'}); the "
                    f"newest checkpoint is of step {self.saved_step}. Mend the store and run the "
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
        """Take in the seconds of a step; after the last one beside a save, note its cost."""
        stall = self._stalls.step(seconds, saving=self.saving)
        if stall is not None:
            self._interval.stalled(stall)
            self._events.add(kinds.Stalled(step=self.saved_step, seconds=round(stall, 3)))

    def _begin(self, step: int, state: Any) -> Future[None]:
        self._began, self._busy_step = self._clock(), step
        self._busy = in_background(lambda: self._try(step, state), "ardm-save")
        return self._busy

    def _join_for_keeps(self, step: int) -> bool:
        """Wait for a save under way; False if it seems to hang, and this step cannot be kept."""
        left = SILENCE - (self._clock() - self._began)
        if self.wait(max(left, 0.0)):
            return True
        log.warning("step %d was to be kept, but %s; training goes on", step, self.error)
        return False

    def _try(self, step: int, state: Any) -> None:
        """One save on the saver's thread; a failure is noted, logged, and tried again later."""
        try:
            self._save(step, state)
        except Exception as error:  # a fault of the store must never end the training
            self._failures += 1
            self._left_over.add(step)
            self._error = _in_a_line(error)
            longest = max(self._interval.seconds(), BACK_OFF)
            again = min(BACK_OFF * 2 ** (self._failures - 1), longest)
            self._next = self._clock() + again
            self._events.add(kinds.SaveFailed(step=step, reason=self._error))
            log.warning("step %d could not be saved (%s); it is tried again", step, self._error)

    def _save(self, step: int, state: Any) -> None:
        if step == self.saved_step:
            return
        self.superseded_by = claims.newer(self._run, self._number, self._token)
        if self.superseded_by is not None:
            return
        begin = self._clock()
        self._clear_away(but=step)
        host = jax.device_get(state)
        content = digest(host)
        metadata = self._metadata | {
            "digest": content,
            "step": step,
            "attempt": self._number,
            "time": round(time.time(), 3),
        }
        checkpoint = checkpoints.Checkpoint(self._run, self._number, step)
        again = step in self._left_over
        # Where the store committed it and only its answer was lost, to write it again would mean to
        # remove the newest good checkpoint first.
        if not again or not preservation.is_good(checkpoint, content):
            self._bytes = checkpoints.save(checkpoint, host, metadata, replace=again)
        self._left_over.discard(step)
        self.saved_step, self.saved_time = max(step, self.saved_step), time.time()
        self._error, self._failures = None, 0
        seconds = self._clock() - begin
        self._longest = max(self._longest, seconds)
        self._interval.saved(seconds)
        self._next = self._began + self._interval.seconds()
        self._events.add(
            kinds.Saved(
                step=step,
                digest=content,
                seconds=round(seconds, 3),
                bytes=self._bytes,
                interval=round(self._interval.seconds(), 1),
            )
        )
        self._prune(checkpoint)

    def _clear_away(self, but: int) -> None:
        """Remove what failed saves left behind: on a full disk it stands in the way."""
        for step in sorted(self._left_over - {but}):
            preservation.discard(checkpoints.Checkpoint(self._run, self._number, step))
            self._left_over.discard(step)

    def _prune(self, newest: checkpoints.Checkpoint) -> None:
        try:
            # A claim made since this save began may just be reading what would be removed.
            if claims.newer(self._run, self._number, self._token):
                return
            gone = preservation.prune(
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
        except Exception as error:  # one too many harms nothing; the next save tries again
            log.warning("old checkpoints could not be pruned (%s)", error)
        else:
            log.debug("pruned steps %s", gone)


def _in_a_line(error: Exception) -> str:
    """An error on one line; of a long one the beginning and the end, where the cause may be."""
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return line if len(line) <= 300 else f"{line[:145]} ... {line[-145:]}"

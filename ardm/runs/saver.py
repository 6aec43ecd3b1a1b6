"""Saves beside the training: time-based, fenced, digested, retried, off the training thread."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import jax

from ardm.errors import SaveFailed, Superseded
from ardm.runs import attempt, checkpoints
from ardm.runs.digest import digest
from ardm.runs.interval import interval_of
from ardm.runs.layout import Run
from ardm.runs.ledger import Ledger
from ardm.runs.spec import CheckpointConfig
from ardm.runs.stalls import Stalls

log = logging.getLogger(__name__)

BACK_OFF = 1.0
"""Seconds before the second try of a save; doubled for every further one, up to the interval."""


class Saver:
    """Writes the checkpoints of one attempt.

    JAX arrays never change, so a save holds the state of its step while training goes on.

    Args:
        run: the run.
        number: of the attempt.
        config: the `checkpoint` section.
        ledger: told of every save and failure.
        restored: the step that the attempt began with, which need not be saved again.
        clock: monotonic seconds.
        sleep: for so many seconds.
    """

    def __init__(
        self,
        run: Run,
        number: int,
        config: CheckpointConfig,
        ledger: Ledger,
        restored: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run, self._number, self._config, self._ledger = run, number, config, ledger
        self._clock, self._sleep = clock, sleep
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ardm-save")
        self._busy: Future[None] | None = None
        self._failures = 0
        self._interval = interval_of(run, number, config, clock)
        self._stalls = Stalls()
        self._began = clock()
        self._next = self._began + self._interval.seconds()
        self.saved_step = restored
        self.saved_time: float | None = None
        """When this attempt last committed a save, in seconds since 1970."""
        self.error: str | None = None
        """Why the last try failed; None after a success."""
        self.superseded_by: int | None = None

    @property
    def saving(self) -> bool:
        """Whether a save is under way."""
        return self._busy is not None and not self._busy.done()

    def offer(
        self, step: int, state: Any, seconds: float | None = None, *, pause: bool = False
    ) -> None:
        """Begin a save of this state if it is time for one; returns at once.

        At a multiple of `keep_every` it is always time, and a save under way is waited for.

        Args:
            step: of the state.
            state: to be saved.
            seconds: that the step took, from which the cost of saves is told; None if it is not
                known, as of a step that compiled.
            pause: whether training pauses after this step, which is a good time for a save.
        """
        if seconds is not None:
            self._measure(seconds)
        every = self._config.keep_every
        if every and step % every == 0:
            self._join(timeout=None)
        elif self.saving or (self._clock() < self._next and not pause):
            return
        self._began = self._clock()
        self._next = self._began + self._interval.seconds()
        self._stalls.begun()
        self._busy = self._thread.submit(self._try, step, state)

    def finish(self, step: int, state: Any, patience: float) -> None:
        """Save this state, wait until it is committed, and try again while patience lasts.

        Args:
            step: of the state.
            state: to be saved.
            patience: seconds.

        Raises:
            SaveFailed: it could not be saved in time.
            Superseded: a newer attempt holds the run.
        """
        begin = self._clock()
        deadline = begin + patience
        self._join(timeout=patience)
        pause = BACK_OFF
        while self.saved_step != step:
            if self.saving or self._clock() >= deadline:
                raise SaveFailed(
                    f"step {step} could not be saved to {self._run.uri} within {patience:.0f} s "
                    f"({self.error or 'the store does not answer'}); the newest checkpoint is of "
                    f"step {self.saved_step}. Mend the store and run the same command again."
                )
            self._busy = self._thread.submit(self._try, step, state)
            self._join(timeout=max(deadline - self._clock(), 0.1))
            self.raise_if_superseded()
            if self.error:
                self._sleep(min(pause, max(deadline - self._clock(), 0.0)))
                pause *= 2
        self._ledger.add("final_save", step=step, seconds=round(self._clock() - begin, 3))

    def raise_if_superseded(self) -> None:
        if self.superseded_by is not None:
            raise Superseded(
                f"attempt {self._number} of {self._run.name} is superseded: attempt "
                f"{self.superseded_by} holds the run now. This one ends; nothing is lost."
            )

    def close(self) -> None:
        """Let go of the thread; a save that hangs is left behind."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _measure(self, seconds: float) -> None:
        """Take in the seconds of a step; after the last one beside a save, note its cost."""
        stall = self._stalls.step(seconds, saving=self.saving)
        if stall is not None:
            self._interval.stalled(stall)
            self._ledger.add("stalled", step=self.saved_step, seconds=round(stall, 3))

    def _join(self, timeout: float | None) -> None:
        if self._busy is not None:
            wait([self._busy], timeout)

    def _try(self, step: int, state: Any) -> None:
        """One save on the saver's thread; a failure is noted, told, and tried again later."""
        try:
            self._save(step, state)
        except Exception as error:  # a fault of the store must never end the training
            self._failures += 1
            self.error = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            longest = max(self._interval.seconds(), BACK_OFF)
            again = min(BACK_OFF * 2 ** (self._failures - 1), longest)
            self._next = self._clock() + again
            self._ledger.add("save_failed", step=step, reason=self.error)
            log.warning("step %d could not be saved (%s); training goes on", step, self.error)

    def _save(self, step: int, state: Any) -> None:
        if step == self.saved_step:
            return
        self.superseded_by = attempt.newer(self._run, self._number)
        if self.superseded_by is not None:
            return
        begin = self._clock()
        host = jax.device_get(state)
        metadata = {
            "digest": digest(host),
            "step": step,
            "attempt": self._number,
            "time": round(time.time(), 3),
        }
        place = checkpoints.Checkpoint(self._run, self._number, step)
        checkpoints.save(place.uri, host, metadata)
        self.saved_step, self.saved_time = step, time.time()
        self.error, self._failures = None, 0
        seconds = self._clock() - begin
        self._interval.saved(seconds)
        self._next = self._began + self._interval.seconds()
        self._ledger.add(
            "saved",
            step=step,
            digest=metadata["digest"],
            seconds=round(seconds, 3),
            bytes=checkpoints.size(place),
            interval=round(self._interval.seconds(), 1),
        )
        self._prune(place)

    def _prune(self, newest: checkpoints.Checkpoint) -> None:
        try:
            # A claim made since this save began may just be reading what would be removed.
            if attempt.newer(self._run, self._number):
                return
            gone = checkpoints.prune(newest, self._config.keep_last, self._config.keep_every)
        except Exception as error:  # one too many harms nothing; the next save tries again
            log.warning("old checkpoints could not be pruned (%s)", error)
        else:
            log.debug("pruned steps %s", gone)

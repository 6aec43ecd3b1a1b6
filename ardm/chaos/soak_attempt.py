"""One attempt of a soak test, in a process that is forked after everything was imported."""

import datetime
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ardm.events.events import Outcome
from ardm.job.spec import parse
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.runner.interrupts import saving_first
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from ardm.training.devices import use_cores
from ardm.training.group import Alone

CODES = {Outcome.COMPLETED: 0, Outcome.PREEMPTED: 75, Outcome.STOPPED: 75}
"""Exit code of the process by the outcome of its attempt; 3 for every other outcome."""


@dataclass(frozen=True)
class AttemptOptions:
    """The options of one attempt.

    Attributes:
        store: address of the store.
        run: name of the run.
        job: text of the job file.
        log: path of the file to which the output of the process is appended.
        clock_step_s: the clock of the process jumps by this much, one second after its start
            (seconds).
        poisoned_step: the gradient of this step becomes NaN; the first step of the attempt is 1,
            and 0 leaves all gradients as they are.
    """

    store: str
    run: str
    job: str
    log: str
    clock_step_s: float = 0.0
    poisoned_step: int = 0


def attempt(options: AttemptOptions) -> None:
    """Continue the run, as `ardm train` does, and end the process."""
    log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # Under nohup, or in the background of a shell, some of these signals would be ignored.
        signal.signal(number, signal.SIG_DFL)
    use_cores(1)
    if options.clock_step_s:
        _step_clock(options.clock_step_s)
    run = Run(Store(options.store), options.run)
    spec = parse(options.job, "the job of the soak")
    registry.open_run(run, spec, datetime.datetime.now(datetime.UTC))
    notice = Notice()
    with saving_first(notice):
        group = _Poisoned(options.poisoned_step)
        ended = run_attempt(run, spec, Context(group, notice, {"by": "ardm soak"}))
    print(f"{ended.outcome} at step {ended.step}: {ended.reason}\n{ended.detail}", flush=True)
    # A thread that waits for a store must not keep the process alive.
    os._exit(CODES.get(ended.outcome, 3))


class _Poisoned(Alone):
    """A group of one worker whose gradients become NaN at one step, as with a broken device."""

    def __init__(self, step: int) -> None:
        self._step, self._count = step, 0

    def gather(self, tree: Any) -> Any:
        self._count += 1
        if self._count != self._step:
            return super().gather(tree)
        return super().gather(jax.tree.map(_nan, tree))


def _nan(array: Any) -> Any:
    return array * jnp.nan if jnp.issubdtype(array.dtype, jnp.floating) else array


def _step_clock(seconds: float) -> None:
    """Let the wall clock jump once, one second from now; the monotonic clock is not changed."""
    real, jump = time.time, time.monotonic() + 1.0
    time.time = lambda: real() + (seconds if time.monotonic() > jump else 0.0)

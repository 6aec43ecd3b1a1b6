"""One attempt of a soak, in a process that was forked from one which had imported everything."""

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
"""Exit codes of the process by how its attempt ended; 3 for every other end."""


@dataclass(frozen=True)
class Order:
    """What a process is to do.

    Attributes:
        store: address of the store.
        run: name of the run.
        job: text of the job file.
        log: path of a file for what the process writes.
        clock_step_s: seconds by which its clock jumps after a moment.
        poisoned_step: step, counted from its first, whose gradient becomes NaN; 0 for none.
    """

    store: str
    run: str
    job: str
    log: str
    clock_step_s: float = 0.0
    poisoned_step: int = 0


def attempt(order: Order) -> None:
    """Carry the run on, as `ardm train` does, and end the process."""
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # Under nohup, or in the background of a shell, some would be ignored.
        signal.signal(number, signal.SIG_DFL)
    use_cores(1)
    if order.clock_step_s:
        _step_clock(order.clock_step_s)
    run = Run(Store(order.store), order.run)
    spec = parse(order.job, "the job of the soak")
    registry.open_run(run, spec, datetime.datetime.now(datetime.UTC))
    notice = Notice()
    with saving_first(notice):
        group = _Poisoned(order.poisoned_step)
        ended = run_attempt(run, spec, Context(group, notice, {"by": "ardm soak"}))
    print(f"{ended.outcome} at step {ended.step}: {ended.reason}\n{ended.detail}", flush=True)
    # Nothing may hold the process, such as a thread that waits for a store.
    os._exit(CODES.get(ended.outcome, 3))


class _Poisoned(Alone):
    """A group of one whose sums go wrong at one step, as a broken device may make them."""

    def __init__(self, step: int) -> None:
        self._step, self._count = step, 0

    def gather(self, tree: Any) -> Any:
        self._count += 1
        if self._count != self._step:
            return super().gather(tree)
        return super().gather(jax.tree.map(_spoiled, tree))


def _spoiled(array: Any) -> Any:
    return array * jnp.nan if jnp.issubdtype(array.dtype, jnp.floating) else array


def _step_clock(seconds: float) -> None:
    """Let the wall clock jump, once, a moment from now; the monotonic clock goes on."""
    real, jump = time.time, time.monotonic() + 1.0
    time.time = lambda: real() + (seconds if time.monotonic() > jump else 0.0)

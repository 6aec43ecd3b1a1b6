"""Where an attempt runs, and how it ends."""

import threading
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ardm.errors import (
    ArdmError,
    DataUnreachable,
    Diverged,
    InputError,
    JobFailed,
    SaveFailed,
    Superseded,
    Unreadable,
)
from ardm.events.events import Outcome
from ardm.outages import of_the_store

if TYPE_CHECKING:  # JAX takes seconds to import, and those who only give notice do not need it
    from ardm.runner.prepare import Preparation
    from ardm.training.group import Group


NOTHING, RESIZE, STOP, PREEMPT, SUPERSEDED = range(5)
"""Flags that a worker can raise; the largest one counts."""


class Warned(Protocol):
    """Says whether to save and end, because the machine goes away."""

    @property
    def reason(self) -> str | None:
        """Why; None as long as there is no reason to."""
        ...


@dataclass
class Notice:
    """Set by whoever has a reason, such as a signal handler."""

    reason: str | None = None


class NothingToDo(Exception):
    """An attempt ends before its first step, because another one would come to the same end."""

    def __init__(self, ended: "Ended") -> None:
        super().__init__(ended.reason)
        self.ended = ended


@dataclass(frozen=True)
class Timings:
    """Seconds that an attempt gives to what may fail, hang or be cut short.

    Attributes:
        claim: a store that fails at the claim is asked again.
        start: the same before the first step.
        data: data whose store or disk does not answer are waited for.
        last_save: the save after the last step is tried; hours of work may wait for a store to come
            back, or for space on a disk.
        last_save_to_stop: the same after a request to stop.
        notice: from a notice to the end of everything.
        notice_save: of these, what the save may take.
        last_words: how an attempt ended is sent to the store.
        worker_failed: a worker other than rank 0 leaves word of its failure.
    """

    claim: float = 60.0
    start: float = 120.0
    data: float = 120.0
    last_save: float = 300.0
    last_save_to_stop: float = 60.0
    notice: float = 25.0
    notice_save: float = 19.0
    last_words: float = 20.0
    worker_failed: float = 10.0


@dataclass(frozen=True)
class StepRecord:
    """A finished training step.

    Attributes:
        step: steps finished in all.
        total_steps: of the job.
        train_nelbo_bpd: the NELBO of its batch, in bits per dimension.
        grad_norm: the global norm of its gradient.
        steps_per_s: the rate of late; None after the first steps.
    """

    step: int
    total_steps: int
    train_nelbo_bpd: float
    grad_norm: float
    steps_per_s: float | None


class HeadStart:
    """What a process prepares before it knows that it will train; an attempt takes it over once.

    A process that waits as a spare begins on one thread, and the attempt comes on another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._preparation: Preparation | None = None
        self._over = False

    def begin(self, prepare: "Callable[[], Preparation]") -> None:
        """Begin to prepare, unless this process trains already.

        Args:
            prepare: begins a preparation, and returns at once.
        """
        with self._lock:
            if not self._over:
                self._preparation = prepare()

    def take(self) -> "Preparation | None":
        """The preparation, if one was begun; from now on none is begun any more."""
        with self._lock:
            self._over = True
            preparation, self._preparation = self._preparation, None
            return preparation


@dataclass(frozen=True)
class Context:
    """Where an attempt runs.

    Attributes:
        group: the workers.
        notice: that the machine goes away; looked at once per step.
        metadata: put into the claim, beside what every claim holds.
        resize: that the group is to go on with another number of workers.
        gone: whether any of some machines, which a claim names as `nodes`, is no longer there.
        on_step: called by rank 0 after every step.
        timings: how long what may fail is waited for.
        head_start: what this process has prepared before the attempt.
    """

    group: "Group"
    notice: Warned
    metadata: Mapping[str, Any] = field(default_factory=dict)
    resize: Notice = field(default_factory=Notice)
    gone: Callable[[Collection[str]], bool] = lambda nodes: False
    on_step: Callable[[StepRecord], None] | None = None
    timings: Timings = Timings()
    head_start: HeadStart = field(default_factory=HeadStart)


@dataclass(frozen=True)
class Ended:
    """The end of an attempt."""

    outcome: Outcome
    step: int
    """The last step finished."""
    reason: str
    """One line."""
    detail: str = ""
    """The traceback of a programming error."""


def of_error(error: BaseException, step: int, group_size: int) -> Ended:
    """The end that an exception of the training loop means."""
    import jax

    line = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    detail = "".join(traceback.format_exception(error))
    if isinstance(error, Superseded):
        return Ended(Outcome.SUPERSEDED, step, str(error))
    if isinstance(error, DataUnreachable | Unreadable):
        return Ended(Outcome.STORAGE_FAULT, step, str(error))
    if isinstance(error, InputError):
        return Ended(Outcome.BAD_INPUT, step, str(error))
    if isinstance(error, Diverged):
        return Ended(Outcome.DIVERGED, step, str(error))
    if isinstance(error, SaveFailed):
        return Ended(Outcome.SAVE_FAILED, step, str(error))
    if isinstance(error, jax.errors.JaxRuntimeError):
        if "RESOURCE_EXHAUSTED" in str(error):
            return Ended(Outcome.OUT_OF_MEMORY, step, line, detail)
        if group_size > 1:
            # Only the gather can fail at run time in a program that ran before.
            return Ended(Outcome.WORKER_LOST, step, line)
    if isinstance(error, MemoryError):
        return Ended(Outcome.OUT_OF_MEMORY, step, line, detail)
    if of_the_store(error):
        return Ended(Outcome.STORAGE_FAULT, step, line, detail)
    return Ended(Outcome.FAILED, step, line, detail)


def to_error(ended: Ended) -> ArdmError | None:
    """The error that a command line ends with, or None for a job that is done."""
    if ended.outcome == Outcome.COMPLETED:
        return None
    if ended.outcome == Outcome.SUPERSEDED:
        return Superseded(ended.reason)
    if ended.outcome == Outcome.BAD_INPUT:
        return InputError(ended.reason)
    text = f"{ended.outcome} at step {ended.step}: {ended.reason}"
    return JobFailed(f"{text}\n{ended.detail}".rstrip())


def raise_if_failed(ended: Ended) -> None:
    """Raise the error of an attempt that neither came to its end nor saved on request."""
    if ended.outcome not in (Outcome.PREEMPTED, Outcome.STOPPED) and (error := to_error(ended)):
        raise error

"""The context in which an attempt runs, its time limits, and how it ends."""

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
    in_a_line,
)
from ardm.events.events import Outcome
from ardm.outages import of_the_store
from ardm.secrecy import without_secrets

if (
    TYPE_CHECKING
):  # they import JAX, which takes seconds, and a process that only sets a notice needs none
    from ardm.runner.prepare import Preparation
    from ardm.training.group import Group


NOTHING, RESIZE, STOP, PREEMPT, SUPERSEDED = range(5)
"""Flags with which a worker asks the group to end; the largest of all workers counts."""


class NoticeSource(Protocol):
    """Says whether there is a preemption notice, upon which the attempt saves and ends."""

    @property
    def reason(self) -> str | None:
        """What gave notice, such as a signal; None as long as there is no notice."""
        ...


@dataclass
class Notice:
    """A notice that code in this process sets, such as a signal handler."""

    reason: str | None = None


class NothingToDo(Exception):
    """The attempt ends before its first step, with an end that is already known."""

    def __init__(self, ended: "Ended") -> None:
        super().__init__(ended.reason)
        self.ended = ended


@dataclass(frozen=True)
class Rhythm:
    """How often the heartbeat does its work. Every value is a number of seconds.

    Attributes:
        beat: time between two writes of the progress object, if no urgent event comes.
        breath: shortest time between two writes of the progress object, even with urgent events; a
            cloud store takes one write per second to an object.
        listen: time between two checks for a stop request and for a newer claim.
        retry: time from a failed write of the progress object to its retry.
        listing: time between two listings of all claims; in between only the next claim is looked
            for.
    """

    beat: float
    breath: float
    listen: float
    retry: float = 4.0
    listing: float = 600.0


@dataclass(frozen=True)
class Timings:
    """Time limits of an attempt in seconds, and the rhythm of its heartbeat.

    Attributes:
        claim: how long the claim is retried while the store fails.
        start: how long other requests before the first step are retried while the store fails.
        data: how long to wait for data whose store or disk does not answer.
        last_save: how long the save after the last step is retried; it may hold hours of work, so
            it waits for a store to come back, or for space on a disk.
        last_save_to_stop: how long the last save is retried after a request to stop.
        notice: time from a preemption notice until the process must be gone.
        notice_save: the part of `notice` that the save may take.
        last_words: how long the end of the attempt is retried to be written to the store.
        last_figures: how long trackers of other projects may take to get what is left, if the
            attempt ends the job and no preemption notice presses.
        worker_failed: how long a worker other than rank 0 tries to record its failure.
        local: the rhythm of the heartbeat if the store is a local directory.
        remote: the rhythm if the store is a bucket, where a write costs ten times as much as a
            read.
    """

    claim: float = 60.0
    start: float = 120.0
    data: float = 120.0
    last_save: float = 300.0
    last_save_to_stop: float = 60.0
    notice: float = 25.0
    notice_save: float = 19.0
    last_words: float = 20.0
    last_figures: float = 60.0
    worker_failed: float = 10.0
    local: Rhythm = Rhythm(beat=1.0, breath=1.0, listen=1.0)
    remote: Rhythm = Rhythm(beat=20.0, breath=2.0, listen=4.0)


@dataclass(frozen=True)
class StepRecord:
    """A finished training step.

    Attributes:
        step: number of finished steps of the run.
        total_steps: number of steps of the job.
        train_nelbo_bpd: NELBO of the batch in bits per dimension.
        grad_norm: global norm of the gradient.
        steps_per_s: rate of the last steps; None as long as there are too few.
    """

    step: int
    total_steps: int
    train_nelbo_bpd: float
    grad_norm: float
    steps_per_s: float | None


class HeadStart:
    """A preparation begun before the process has an attempt; the first attempt takes it over.

    A spare process begins it on one thread, and the attempt takes it on another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._preparation: Preparation | None = None
        self._over = False

    def begin(self, prepare: "Callable[[], Preparation]") -> None:
        """Begin to prepare, unless an attempt has already begun in this process.

        Args:
            prepare: begins a preparation and returns it at once.
        """
        with self._lock:
            if not self._over:
                self._preparation = prepare()

    def take(self) -> "Preparation | None":
        """Take the preparation, if one was begun; after this call `begin` does nothing."""
        with self._lock:
            self._over = True
            preparation, self._preparation = self._preparation, None
            return preparation


@dataclass(frozen=True)
class Context:
    """The context in which an attempt runs.

    Attributes:
        group: the group of workers.
        notice: the source of preemption notices; read once per step.
        metadata: added to the claim.
        resize: set when the group is to continue with another number of workers.
        gone: returns whether any of these nodes, which a claim lists as `nodes`, no longer exists.
        on_step: called on rank 0 after every step.
        timings: the time limits of the attempt.
        head_start: what this process prepared before the attempt.
    """

    group: "Group"
    notice: NoticeSource
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
    """The last finished step."""
    reason: str
    """Why it ended, on one line."""
    detail: str = ""
    """The traceback of a programming error."""


def of_error(error: BaseException, step: int, group_size: int) -> Ended:
    """Classify an exception of an attempt: how the attempt ended."""
    import jax

    line = in_a_line(error)
    detail = without_secrets("".join(traceback.format_exception(error)))
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
            # In a program that has run before, only the gather among workers can fail at run time.
            return Ended(Outcome.WORKER_LOST, step, line)
    if isinstance(error, MemoryError):
        return Ended(Outcome.OUT_OF_MEMORY, step, line, detail)
    if of_the_store(error):
        return Ended(Outcome.STORAGE_FAULT, step, line, detail)
    return Ended(Outcome.FAILED, step, line, detail)


def to_error(ended: Ended) -> ArdmError | None:
    """The error with which a command exits; None if the job is completed."""
    if ended.outcome == Outcome.COMPLETED:
        return None
    if ended.outcome == Outcome.SUPERSEDED:
        return Superseded(ended.reason)
    if ended.outcome == Outcome.BAD_INPUT:
        return InputError(ended.reason)
    text = f"{ended.outcome} at step {ended.step}: {ended.reason}"
    return JobFailed(f"{text}\n{ended.detail}".rstrip())


def raise_if_failed(ended: Ended) -> None:
    """Raise an error unless the attempt completed the job, or saved and ended on request."""
    if ended.outcome not in (Outcome.PREEMPTED, Outcome.STOPPED) and (error := to_error(ended)):
        raise error

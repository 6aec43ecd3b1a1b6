"""How an attempt ends, as a type, so that a preemption is never taken for a failure."""

import traceback
from dataclasses import dataclass
from typing import Literal

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
from ardm.outages import of_the_store

Kind = Literal[
    "completed",  # the last step is done and saved
    "stopped",  # asked to by `ardm stop`; saved
    "preempted",  # notice or signal; saved
    "resized",  # the group goes on with another number of workers; saved
    "superseded",  # a newer attempt holds the run
    "worker_lost",  # another worker of the group vanished
    "storage_fault",  # the store, or the data's place, does not answer; elsewhere it may
    "save_failed",  # no more steps to do, or none wanted, and the last state could not be saved
    "diverged",  # a loss, gradient or new state was not finite; nothing of it is saved
    "out_of_memory",
    "bad_input",  # the data cannot be used
    "failed",  # a programming error
]

ENDS_THE_JOB: frozenset[Kind] = frozenset(
    {"completed", "stopped", "failed", "out_of_memory", "bad_input", "save_failed", "diverged"}
)
"""Outcomes after which starting again would change nothing, or is not wanted."""


@dataclass(frozen=True)
class Outcome:
    """The end of an attempt."""

    kind: Kind
    step: int
    """The last step finished."""
    reason: str
    """One line."""
    detail: str = ""
    """The traceback of a programming error."""


def of_error(error: BaseException, step: int, group_size: int) -> Outcome:
    """The outcome that an exception of the training loop means."""
    import jax

    line = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    detail = "".join(traceback.format_exception(error))
    if isinstance(error, Superseded):
        return Outcome("superseded", step, str(error))
    if isinstance(error, DataUnreachable | Unreadable):
        return Outcome("storage_fault", step, str(error))
    if isinstance(error, InputError):
        return Outcome("bad_input", step, str(error))
    if isinstance(error, Diverged):
        return Outcome("diverged", step, str(error))
    if isinstance(error, SaveFailed):
        return Outcome("save_failed", step, str(error))
    if isinstance(error, jax.errors.JaxRuntimeError):
        if "RESOURCE_EXHAUSTED" in str(error):
            return Outcome("out_of_memory", step, line, detail)
        if group_size > 1:
            # Only the gather can fail at run time in a program that ran before.
            return Outcome("worker_lost", step, line)
    if isinstance(error, MemoryError):
        return Outcome("out_of_memory", step, line, detail)
    if of_the_store(error):
        return Outcome("storage_fault", step, line, detail)
    return Outcome("failed", step, line, detail)


def to_error(outcome: Outcome) -> ArdmError | None:
    """The error that a command line ends with, or None for a job that is done."""
    if outcome.kind == "completed":
        return None
    if outcome.kind == "superseded":
        return Superseded(outcome.reason)
    if outcome.kind == "bad_input":
        return InputError(outcome.reason)
    text = f"{outcome.kind} at step {outcome.step}: {outcome.reason}"
    return JobFailed(f"{text}\n{outcome.detail}".rstrip())


def raise_if_failed(outcome: Outcome) -> None:
    """Raise the error of an attempt that neither came to its end nor saved on request."""
    if outcome.kind not in ("preempted", "stopped") and (error := to_error(outcome)):
        raise error

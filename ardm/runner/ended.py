"""The end of an attempt: what an error of the training means, and what a caller is told of it."""

import traceback
from dataclasses import dataclass

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
from ardm.events.outcome import Outcome
from ardm.outages import of_the_store


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

"""How an attempt ends, as a type, so that a preemption is never taken for a failure."""

import traceback
from dataclasses import dataclass
from typing import Literal

from ardm.errors import (
    ArdmError,
    Diverged,
    InputError,
    JobFailed,
    SaveFailed,
    Superseded,
    Unreadable,
)

Kind = Literal[
    "completed",  # the last step is done and saved
    "stopped",  # asked to by `ardm stop`; saved
    "preempted",  # notice or signal; saved
    "resized",  # the group goes on with another number of workers; saved
    "superseded",  # a newer attempt holds the run
    "worker_lost",  # another worker of the group vanished
    "storage_fault",  # the store failed where it could not be waited for; elsewhere it may answer
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


_STORE_LIBRARIES = (
    "adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "requests",
    "s3fs", "urllib3",
)  # fmt: skip
"""Of remote stores. Not all of their errors are an OSError: gcsfs (2026.10) has one for a 5xx."""


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
    if isinstance(error, InputError):
        return Outcome("bad_input", step, str(error))
    if isinstance(error, Unreadable):
        return Outcome("storage_fault", step, str(error))
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


def of_the_store(error: BaseException) -> bool:
    """Whether an error is one of a store that fails, which may pass."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in _STORE_LIBRARIES


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

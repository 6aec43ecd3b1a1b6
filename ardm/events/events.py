"""What all events have in common, how values that may be anything are read, how attempts end."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, model_serializer

T = TypeVar("T")


def finite(value: object) -> float | None:
    """A value as a finite number; None where it is something else, such as a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def integer(value: object) -> int | None:
    """A value as a whole number, such as a step, which JSON may hold as 3.0."""
    found = finite(value)
    return int(found) if found is not None and found == int(found) else None


def number(record: Mapping[str, Any], key: str) -> float | None:
    """A finite number of a record; None where there is none, or something else."""
    return finite(record.get(key))


def whole(record: Mapping[str, Any], key: str) -> int | None:
    """A whole number of a record, such as a step."""
    return integer(record.get(key))


def _required(value: T | None) -> T:
    if value is None:
        raise ValueError("expected a number")
    return value


Whole = Annotated[int, PlainValidator(lambda value: _required(integer(value)))]
Real = Annotated[float, PlainValidator(lambda value: _required(finite(value)))]
"""Without them there is no event of that kind."""

WholeOrNone = Annotated[int | None, PlainValidator(integer)]
RealOrNone = Annotated[float | None, PlainValidator(finite)]
"""None where the value is not finite, or no number."""

Count = Annotated[int, PlainValidator(lambda value: integer(value) or 0)]
Seconds = Annotated[float, PlainValidator(lambda value: finite(value) or 0.0)]
"""0 where the value is no number."""

Text = Annotated[str, PlainValidator(lambda value: value if isinstance(value, str) else "")]
TextOrNone = Annotated[
    str | None, PlainValidator(lambda value: value if isinstance(value, str) else None)
]
Lines = Annotated[
    list[str],
    PlainValidator(
        lambda value: [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
    ),
]
Object = Annotated[
    dict[str, Any], PlainValidator(lambda value: value if isinstance(value, dict) else {})
]
"""Empty where the value is something else."""


class Event(BaseModel):
    """Something that happened in an attempt; `ardm.events.kinds` has a class for each kind.

    A Pydantic model, which reads a JSON object of a kind and keeps the keys of a later version.

    Attributes:
        n: number of the event among those of its worker; the event log counts.
        event: the name of the kind.
        time: seconds since 1970; the event log sets it where it is not given.
        attempt: the attempt that it belongs to, where events of several are put together.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    n: WholeOrNone = None
    event: str
    time: Real = 0.0
    attempt: WholeOrNone = None

    @model_serializer
    def as_json(self) -> dict[str, Any]:
        """The kind, the time, and the fields that were given: what is written."""
        given = self.model_fields_set | {"event", "time"}
        return {key: value for key, value in self if key in given}


class Outcome(StrEnum):
    """How an attempt ended; the values are the words of the event log.

    >>> Outcome("preempted").ends_the_job
    False
    >>> Outcome("of a later version")
    <Outcome.FAILED: 'failed'>
    """

    COMPLETED = "completed"
    """The last step is done and saved."""
    STOPPED = "stopped"
    """By `ardm stop`; saved."""
    PREEMPTED = "preempted"
    """By a notice or a signal; saved."""
    RESIZED = "resized"
    """The group goes on with another number of workers; saved."""
    SUPERSEDED = "superseded"
    """A newer attempt holds the run."""
    WORKER_LOST = "worker_lost"
    """A worker vanished, or all of them did."""
    STORAGE_FAULT = "storage_fault"
    """The store, or the place of the data, does not answer; elsewhere it may."""
    SAVE_FAILED = "save_failed"
    """There are no more steps to do, or none are wanted, and the state could not be saved."""
    DIVERGED = "diverged"
    """A loss, gradient or new state was not finite; nothing of it is saved."""
    OUT_OF_MEMORY = "out_of_memory"
    """The device or the machine has too little memory."""
    BAD_INPUT = "bad_input"
    """The data cannot be used."""
    FAILED = "failed"
    """A programming error."""

    @classmethod
    def _missing_(cls, value: object) -> "Outcome":
        """An outcome of another version, or a torn one."""
        return cls.FAILED

    @property
    def ends_the_job(self) -> bool:
        """Whether to start again would change nothing, or is not wanted."""
        return self in {
            Outcome.COMPLETED,
            Outcome.STOPPED,
            Outcome.FAILED,
            Outcome.OUT_OF_MEMORY,
            Outcome.BAD_INPUT,
            Outcome.SAVE_FAILED,
            Outcome.DIVERGED,
        }

    @property
    def is_orderly(self) -> bool:
        """Whether the attempt ended as it was meant to, which is no sign of a crash loop."""
        return self in {
            Outcome.COMPLETED,
            Outcome.STOPPED,
            Outcome.PREEMPTED,
            Outcome.RESIZED,
            Outcome.SUPERSEDED,
        }

    @property
    def was_interrupted(self) -> bool:
        """Whether a machine or a process was taken away."""
        return self in {Outcome.PREEMPTED, Outcome.WORKER_LOST}

    @property
    def state(self) -> str:
        """The state of a run that nobody trains after such an end, as `ardm status` names it."""
        if self in {Outcome.COMPLETED, Outcome.STOPPED, Outcome.SUPERSEDED}:
            return self.value
        resumable = {Outcome.PREEMPTED, Outcome.RESIZED, Outcome.WORKER_LOST}
        return "stopped" if self in resumable else "failed"

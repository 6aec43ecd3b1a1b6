"""The base class of events, tolerant readers of JSON values, and the outcomes of attempts."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, model_serializer

T = TypeVar("T")


def finite(value: object) -> float | None:
    """A value as a finite number; None if it is anything else, such as a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def integer(value: object) -> int | None:
    """A value as an integer, such as a step, which JSON may hold as 3.0; None if it is none."""
    real = finite(value)
    return int(real) if real is not None and real == int(real) else None


def number(record: Mapping[str, Any], key: str) -> float | None:
    """The finite number under a key; None if the key is missing or holds anything else."""
    return finite(record.get(key))


def whole(record: Mapping[str, Any], key: str) -> int | None:
    """The integer under a key, such as a step; None if the key holds no integer or is missing."""
    return integer(record.get(key))


def text(record: Mapping[str, Any], key: str) -> str | None:
    """The text under a key; None if the key is missing, or holds an empty text or anything else."""
    value = record.get(key)
    return value if isinstance(value, str) and value else None


def _required(value: T | None) -> T:
    if value is None:
        raise ValueError("expected a number")
    return value


Whole = Annotated[int, PlainValidator(lambda value: _required(integer(value)))]
Real = Annotated[float, PlainValidator(lambda value: _required(finite(value)))]
"""Required: an event whose value is no such number is not of that kind."""

WholeOrNone = Annotated[int | None, PlainValidator(integer)]
RealOrNone = Annotated[float | None, PlainValidator(finite)]
"""None if the value is not finite or no number."""

Count = Annotated[int, PlainValidator(lambda value: integer(value) or 0)]
Seconds = Annotated[float, PlainValidator(lambda value: finite(value) or 0.0)]
"""0 if the value is no number."""

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
"""Empty if the value has another type."""


class Event(BaseModel):
    """Something that happened in an attempt; `ardm.events.kinds` has a class for each kind.

    A Pydantic model, which also keeps the keys that only a later version of ardm knows.

    Attributes:
        n: number of the event among those of its worker, from 0; the event log sets it.
        event: the name of the kind.
        time: seconds since 1970; the event log sets it if it is not given.
        attempt: number of its attempt, set where the events of several attempts are in one list.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    n: WholeOrNone = None
    event: str
    time: Real = 0.0
    attempt: WholeOrNone = None

    @model_serializer
    def as_json(self) -> dict[str, Any]:
        """The JSON that is written: the kind, the time, and the fields that were given."""
        given = self.model_fields_set | {"event", "time"}
        return {key: value for key, value in self if key in given}


class Outcome(StrEnum):
    """How an attempt ended; the values are what the event log holds.

    >>> Outcome("preempted").ends_the_job
    False
    >>> Outcome("of a later version")
    <Outcome.FAILED: 'failed'>
    """

    COMPLETED = "completed"
    """The last step is done and saved."""
    STOPPED = "stopped"
    """Stopped by `ardm stop`, with its state saved."""
    PREEMPTED = "preempted"
    """Ended by a preemption notice or a signal, with its state saved."""
    RESIZED = "resized"
    """Ended, with its state saved, so that the group continues with another number of workers."""
    LIMITED = "limit_reached"
    """The hours or the cost of `limits` are reached; ended with its state saved."""
    SUPERSEDED = "superseded"
    """A newer attempt holds the run."""
    WORKER_LOST = "worker_lost"
    """A worker vanished, or all of them did."""
    STORAGE_FAULT = "storage_fault"
    """The store or the source of the data does not answer; from another machine it may."""
    SAVE_FAILED = "save_failed"
    """The last save of the attempt failed: after the last step, or after a request to stop."""
    DIVERGED = "diverged"
    """A loss, gradient or new state was not finite; that state is not saved."""
    OUT_OF_MEMORY = "out_of_memory"
    """The device or the machine has too little memory."""
    BAD_INPUT = "bad_input"
    """The data cannot be used."""
    FAILED = "failed"
    """A programming error."""

    @classmethod
    def _missing_(cls, value: object) -> "Outcome":
        """What a value means that another version wrote, or that is damaged."""
        return cls.FAILED

    @property
    def ends_the_job(self) -> bool:
        """Whether another attempt is pointless: it is not wanted, or would end the same way."""
        return self in {
            Outcome.COMPLETED,
            Outcome.STOPPED,
            Outcome.LIMITED,
            Outcome.FAILED,
            Outcome.OUT_OF_MEMORY,
            Outcome.BAD_INPUT,
            Outcome.SAVE_FAILED,
            Outcome.DIVERGED,
        }

    @property
    def is_orderly(self) -> bool:
        """Whether the attempt ended as intended; such an attempt is no part of a crash loop."""
        return self in {
            Outcome.COMPLETED,
            Outcome.STOPPED,
            Outcome.LIMITED,
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
        """What `ardm status` gives as the state of a run whose newest attempt ended like this."""
        if self in {Outcome.COMPLETED, Outcome.STOPPED, Outcome.SUPERSEDED}:
            return self.value
        resumable = {
            Outcome.PREEMPTED,
            Outcome.RESIZED,
            Outcome.WORKER_LOST,
            Outcome.LIMITED,
        }
        return "stopped" if self in resumable else "failed"

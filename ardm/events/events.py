"""Events, what can be made of bytes that may be torn, and how attempts end."""

import json
import math
from collections.abc import Callable
from enum import StrEnum
from typing import Any

Event = dict[str, Any]
"""At least `event` (its kind) and `time` (seconds since 1970)."""


def parse(data: bytes, report: Callable[[], None]) -> list[Event]:
    """The events of a segment, one JSON object a line.

    Args:
        data: content of the segment.
        report: called if lines were skipped because they hold no event.
    """
    events, skipped = [], False
    for line in data.splitlines():
        event = _read(line)
        if event is not None:
            events.append(event)
        elif line.strip():
            skipped = True
    if skipped:
        report()
    return events


def is_event(value: object) -> bool:
    """Whether a JSON value is an event."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("event"), str)
        and number(value, "time") is not None
    )


def last(events: list[Event], kind: str) -> Event | None:
    """The latest event of a kind."""
    return next((event for event in reversed(events) if event["event"] == kind), None)


def number(record: Event, key: str) -> float | None:
    """A finite number of a record; None where there is none, or something else."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(record: Event, key: str) -> int | None:
    """A whole number of a record, such as a step."""
    value = number(record, key)
    return int(value) if value is not None and value == int(value) else None


def _read(line: bytes) -> Event | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if is_event(value) else None


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

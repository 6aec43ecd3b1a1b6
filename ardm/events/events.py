"""Events of the ledger, and what can be made of bytes that may be torn."""

import json
import math
from collections.abc import Callable
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

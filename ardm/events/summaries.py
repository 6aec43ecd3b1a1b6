"""Summaries of attempts: caches, with which reading the history of a run takes few requests.

Everything in a summary is also in the events. A summary that is missing, damaged or of another
format is computed from them again.
"""

import threading
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from ardm.events.curve import Curve
from ardm.events.events import Event
from ardm.events.records import AttemptRecord, unknown
from ardm.store.run_directory import Run

M = TypeVar("M", bound=BaseModel)


class Summary(BaseModel):
    """The record and the curve that follow from the first events of an attempt."""

    format: Literal[1] = 1
    events: int = 0
    """How many events of rank 0 it covers."""
    record: AttemptRecord
    curve: Curve

    def add(self, event: Event) -> None:
        """Add the next event."""
        self.record.take(event)
        self.curve.add(event)

    def fits(self, claim: dict[str, Any]) -> bool:
        """Whether it belongs to this claim, and not to an earlier attempt of the same number."""
        return not claim or self.record.claim.get("token") == claim.get("token")


class RollUp(BaseModel):
    """The records and the curve of all attempts up to `upto`; none of them will change any more."""

    format: Literal[1] = 1
    upto: int = 0
    records: list[AttemptRecord] = []
    curve: Curve = Curve()


def begin(attempt: int, claim: dict[str, Any]) -> Summary:
    """The summary of an attempt without events."""
    record = unknown(attempt)
    if claim:
        record.take_claim(claim)
    return Summary(record=record, curve=Curve())


class Summarizer:
    """Keeps the summary of a living attempt; safe to use from several threads.

    Args:
        run: the run.
        attempt: number of the attempt.
        claim: the content of its claim.
    """

    def __init__(self, run: Run, attempt: int, claim: dict[str, Any]) -> None:
        self._run, self._attempt = run, attempt
        self._summary = begin(attempt, claim)
        self._lock = threading.Lock()

    def add(self, event: Event) -> None:
        """Add the next event of rank 0."""
        with self._lock:
            self._summary.add(event)
            self._summary.events += 1

    def write(self) -> None:
        """Write the summary to the store.

        Raises:
            OSError: the store failed.
        """
        with self._lock:
            data = self._summary.model_dump_json().encode()
        self._run.store.write(self._run.summary(self._attempt), data)


def read(run: Run, attempts: list[int]) -> dict[int, Summary]:
    """The summaries of attempts, without those that are missing or invalid."""
    contents = run.store.read_many(run.summary(number) for number in attempts)
    valid = {}
    for number in attempts:
        data = contents.get(run.summary(number))
        summary = _parse(Summary, data) if data is not None else None
        if summary and summary.record.attempt == number:
            valid[number] = summary
    return valid


def read_roll_up(run: Run) -> RollUp:
    """The roll-up of a run; an empty one if there is none."""
    data = run.store.read(run.roll_up)
    return (_parse(RollUp, data) if data is not None else None) or RollUp()


def _parse(kind: type[M], data: bytes) -> M | None:
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        return None

"""Summaries of attempts: caches, from which the history of a run is read in a few requests.

Whatever a summary says is in the events, too. One that is absent, torn or of another format is
worked out again.
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
    """What the first events of an attempt come to."""

    format: Literal[1] = 1
    events: int = 0
    """Of rank 0 that are in it."""
    record: AttemptRecord
    curve: Curve

    def add(self, event: Event) -> None:
        """Take in the next event."""
        self.record.take(event)
        self.curve.add(event)

    def fits(self, claim: dict[str, Any]) -> bool:
        """Whether it is of the attempt that made a claim, not of an earlier one of that number."""
        return not claim or self.record.claim.get("token") == claim.get("token")


class RollUp(BaseModel):
    """What the attempts up to one come to, of which none will change any more."""

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
        claim: who claimed it.
    """

    def __init__(self, run: Run, attempt: int, claim: dict[str, Any]) -> None:
        self._run, self._attempt = run, attempt
        self._summary = begin(attempt, claim)
        self._lock = threading.Lock()

    def add(self, event: Event) -> None:
        """Take in the next event of rank 0."""
        with self._lock:
            self._summary.add(event)
            self._summary.events += 1

    def write(self) -> None:
        """Put the summary into the store.

        Raises:
            OSError: the store failed.
        """
        with self._lock:
            data = self._summary.model_dump_json().encode()
        self._run.store.write(self._run.summary(self._attempt), data)


def read(run: Run, attempts: list[int]) -> dict[int, Summary]:
    """The summaries of attempts, as far as there are any."""
    contents = run.store.read_many(run.summary(number) for number in attempts)
    found = {}
    for number in attempts:
        data = contents.get(run.summary(number))
        summary = _parse(Summary, data) if data is not None else None
        if summary and summary.record.attempt == number:
            found[number] = summary
    return found


def read_roll_up(run: Run) -> RollUp:
    """The roll-up of a run; an empty one where there is none."""
    data = run.store.read(run.roll_up)
    return (_parse(RollUp, data) if data is not None else None) or RollUp()


def _parse(kind: type[M], data: bytes) -> M | None:
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        return None

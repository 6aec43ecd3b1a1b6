"""The history of a run, read at once or followed look by look, at the cost of few requests."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ardm.events import event_log, summaries
from ardm.events.curve import Curve
from ardm.events.events import Outcome, number
from ardm.events.records import AttemptRecord
from ardm.events.summaries import RollUp, Summary
from ardm.store.claims import stale_s
from ardm.store.run_directory import Run

LOOK_LOCAL, LOOK_REMOTE = 1.0, 2.0
"""Seconds between two looks."""

LISTING = 600.0
"""Seconds between two listings of all claims; in between only the next one is looked for."""


log = logging.getLogger(__name__)

UNSETTLED = 8
"""Newest attempts that may still have something to say though newer ones have begun."""


class Newest:
    """The newest attempt of a run, looked up at each call; 0 as long as there is none.

    Args:
        run: the run.
        clock: monotonic seconds.
    """

    def __init__(self, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._listed = -math.inf
        self._number = 0

    def __call__(self) -> int:
        """Claims follow each other without a gap, so the next one is all that need be read."""
        if self._clock() >= self._listed + LISTING:
            self._number = self._run.newest_attempt()
            self._listed = self._clock()
        while self._run.store.exists(self._run.claim(self._number + 1)):
            self._number += 1
        return self._number


class Pulse:
    """Whether an attempt lives, from the change between two looks: clocks may differ.

    Args:
        clock: monotonic seconds of whoever looks.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beat: object = None
        self._since = clock()

    def beats(self, progress: dict[str, Any]) -> bool:
        """Take in what was read now; False once it has not changed for too long."""
        beat = (progress.get("attempt"), progress.get("beat", progress.get("time")))
        if beat != self._beat:
            self._beat, self._since = beat, self._clock()
        return self._clock() - self._since < stale_s(number(progress, "beat_s") or 0.0)


def look_s(run: Run) -> float:
    """Seconds between two looks at a run."""
    return LOOK_LOCAL if run.store.is_local else LOOK_REMOTE


@dataclass
class History:
    """What the store says of a run."""

    records: list[AttemptRecord]
    """Every attempt, oldest first."""
    curve: Curve
    roll_up: RollUp
    """Of all attempts that are settled by now."""
    rolled_up: int
    """The newest attempt in the roll-up of the store; 0 if there is none."""

    def write_roll_up(self, run: Run) -> None:
        """Leave the roll-up for those who read the history next, if it is longer than before.

        Raises:
            OSError: the store failed.
        """
        if self.roll_up.upto > self.rolled_up:
            run.store.write(run.roll_up, self.roll_up.model_dump_json().encode())


def read(run: Run) -> History:
    """Read the history of a run.

    Raises:
        OSError: or another error of the file system: something could not be read.
    """
    numbers = run.attempts()
    rolled = summaries.read_roll_up(run)
    known = {r.attempt: r for r in rolled.records if r.attempt in set(numbers)}
    parts = _read(run, [number for number in numbers if number not in known])
    roll_up = _extended(rolled, known, parts, numbers)
    curve = rolled.curve.copy()
    records = [known.get(n) or parts[n].record for n in numbers]
    for attempt in sorted(parts):
        if attempt > rolled.upto:
            curve.follow(parts[attempt].curve, parts[attempt].record.first_step)
    return History(_finished([replace(record) for record in records]), curve, roll_up, rolled.upto)


def records(run: Run) -> list[AttemptRecord]:
    """Every attempt of a run, oldest first."""
    return read(run).records


def claims(run: Run, numbers: list[int]) -> dict[int, dict[str, Any]]:
    """Who made the claims, read at the same time; those that cannot be read are empty."""
    found = run.store.read_records(run.claim(attempt) for attempt in numbers)
    return {attempt: found.get(run.claim(attempt), {}) for attempt in numbers}


def _read(run: Run, numbers: list[int]) -> dict[int, "_Part"]:
    """What the attempts come to that are in no roll-up."""
    if not numbers:
        return {}
    by = claims(run, numbers)
    cached = {n: s for n, s in summaries.read(run, numbers).items() if s.fits(by[n])}
    covered = {n: cached[n].events if n in cached else 0 for n in numbers}
    parts = {}
    for attempt, reading in event_log.read_all(run, covered).items():
        found = cached.get(attempt) or summaries.begin(attempt, by[attempt])
        for event in reading.events:
            found.add(event)
        found.record.take_progress(reading.progress)
        parts[attempt] = _Part(found, bool(reading.progress) and "beat" not in reading.progress)
    return parts


@dataclass
class _Part:
    summary: Summary
    before_beats: bool
    """It was written by a version without a beat, so its process is of the past."""

    @property
    def record(self) -> AttemptRecord:
        return self.summary.record

    @property
    def curve(self) -> Curve:
        return self.summary.curve

    @property
    def over(self) -> bool:
        return self.record.outcome is not None or self.before_beats


def _extended(
    rolled: RollUp, known: dict[int, AttemptRecord], parts: dict[int, _Part], numbers: list[int]
) -> RollUp:
    """The roll-up with the attempts that are settled by now."""
    again = [part.record for attempt, part in parts.items() if attempt <= rolled.upto]
    everyone = sorted([*known.values(), *again], key=lambda record: record.attempt)
    found = RollUp(upto=rolled.upto, records=everyone, curve=rolled.curve.copy())
    for attempt in [n for n in numbers if n > rolled.upto][:-1]:
        part = parts[attempt]
        if not part.over and attempt > numbers[-1] - UNSETTLED:
            break
        found.records.append(part.record)
        found.curve.follow(part.curve, part.record.first_step)
        found.upto = attempt
    return found


def _finished(found: list[AttemptRecord]) -> list[AttemptRecord]:
    """Add what only the attempts after one say of it."""
    resumed: int | None = None
    for i in range(len(found) - 2, -1, -1):
        record, after = found[i], found[i + 1]
        if record.outcome is None:
            record.outcome = Outcome.WORKER_LOST
            record.reason = "ended without a word, as when killed"
            record.ended, record.silent = record.last_seen, True
        # An attempt may die before it has restored anything; then the next one tells.
        resumed = after.first_step if after.first_step is not None else resumed
        if record.last_step is not None and resumed is not None:
            record.steps_lost = max(record.last_step - resumed, 0)
    return found

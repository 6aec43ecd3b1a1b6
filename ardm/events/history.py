"""The history of a run: read as a whole or polled, with few requests to the store."""

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
"""Seconds between two polls of a local store, and of a remote one."""

LISTING = 600.0
"""Seconds between two listings of all claims; in between only the next claim is looked for."""

log = logging.getLogger(__name__)

UNSETTLED = 8
"""The newest attempts, as many as this, may still write events though newer ones have begun."""


class Newest:
    """Number of the newest attempt of a run, looked up at each call; 0 as long as there is none.

    Args:
        run: the run.
        clock: returns monotonic seconds.
    """

    def __init__(self, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._listed = -math.inf
        self._number = 0

    def __call__(self) -> int:
        """Claims are numbered without gaps, so only the next one has to be looked for."""
        if self._clock() >= self._listed + LISTING:
            self._number = self._run.newest_attempt()
            self._listed = self._clock()
        while self._run.store.exists(self._run.claim(self._number + 1)):
            self._number += 1
        return self._number


class Pulse:
    """Tells whether an attempt lives: its heartbeat must change between two polls.

    Times are not compared, since the clocks of two machines may differ.

    Args:
        clock: returns monotonic seconds on this machine.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beat: object = None
        self._since = clock()

    def beats(self, progress: dict[str, Any]) -> bool:
        """Whether the attempt lives, given its progress object as read now."""
        beat = (progress.get("attempt"), progress.get("beat", progress.get("time")))
        if beat != self._beat:
            self._beat, self._since = beat, self._clock()
        return self._clock() - self._since < stale_s(number(progress, "beat_s") or 0.0)


def look_s(run: Run) -> float:
    """Seconds between two polls of a run."""
    return LOOK_LOCAL if run.store.is_local else LOOK_REMOTE


@dataclass
class History:
    """All attempts of a run, and its loss curve."""

    records: list[AttemptRecord]
    """Every attempt, the oldest first."""
    curve: Curve
    roll_up: RollUp
    """The roll-up of all attempts whose records will not change any more."""
    rolled_up: int
    """The newest attempt in the roll-up that the store holds; 0 if it holds none."""

    def write_roll_up(self, run: Run) -> None:
        """Write the roll-up for later readers, if it covers more attempts than the stored one.

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
    """Every attempt of a run, the oldest first."""
    return read(run).records


def claims(run: Run, numbers: list[int]) -> dict[int, dict[str, Any]]:
    """The content of several claims, read concurrently; empty for a claim that cannot be read."""
    records = run.store.read_records(run.claim(attempt) for attempt in numbers)
    return {attempt: records.get(run.claim(attempt), {}) for attempt in numbers}


def _read(run: Run, numbers: list[int]) -> dict[int, "_Part"]:
    """The records and curves of attempts that the roll-up does not cover."""
    if not numbers:
        return {}
    claimed = claims(run, numbers)
    cached = {n: s for n, s in summaries.read(run, numbers).items() if s.fits(claimed[n])}
    covered = {n: cached[n].events if n in cached else 0 for n in numbers}
    parts = {}
    for attempt, reading in event_log.read_all(run, covered).items():
        summary = cached.get(attempt) or summaries.begin(attempt, claimed[attempt])
        for event in reading.events:
            summary.add(event)
        summary.record.take_progress(reading.progress)
        parts[attempt] = _Part(summary, bool(reading.progress) and "beat" not in reading.progress)
    return parts


@dataclass
class _Part:
    summary: Summary
    before_beats: bool
    """Whether a version wrote it that had no heartbeat number; its process ended long ago."""

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
    """The roll-up, extended by the attempts whose records will not change any more."""
    reread = [part.record for attempt, part in parts.items() if attempt <= rolled.upto]
    covered = sorted([*known.values(), *reread], key=lambda record: record.attempt)
    roll_up = RollUp(upto=rolled.upto, records=covered, curve=rolled.curve.copy())
    for attempt in [n for n in numbers if n > rolled.upto][:-1]:
        part = parts[attempt]
        if not part.over and attempt > numbers[-1] - UNSETTLED:
            break
        roll_up.records.append(part.record)
        roll_up.curve.follow(part.curve, part.record.first_step)
        roll_up.upto = attempt
    return roll_up


def _finished(records: list[AttemptRecord]) -> list[AttemptRecord]:
    """Fill in what follows from later attempts: lost steps, and the end of a killed attempt."""
    resumed: int | None = None
    for i in range(len(records) - 2, -1, -1):
        record, after = records[i], records[i + 1]
        if record.outcome is None:
            record.outcome = Outcome.WORKER_LOST
            record.reason = "ended without a word, as when killed"
            record.ended, record.silent = record.last_seen, True
        # An attempt may die before it restores a state; then the one after it is what counts.
        resumed = after.first_step if after.first_step is not None else resumed
        if record.last_step is not None and resumed is not None:
            record.steps_lost = max(record.last_step - resumed, 0)
    return records

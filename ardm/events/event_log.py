"""The event log: what happened in each attempt.

An object store cannot append, and each write costs. So the newest events are part of the progress
object, which is written at every heartbeat anyway. When there are many of them, and at the end of
the attempt, they are written to a file of their own, a segment. Many segments are merged into one.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ardm import strict_json
from ardm.events import kinds, segments
from ardm.events.events import Event
from ardm.events.kinds import E
from ardm.events.segments import Segment
from ardm.store.run_directory import Run

log = logging.getLogger(__name__)

FULL = 64
"""Number of events in the tail at which they are written as a segment."""

MERGED = 64
"""Number of segments at which they are merged into one."""

URGENT = (
    kinds.Restored,
    kinds.Started,
    kinds.FirstStep,
    kinds.Saved,
    kinds.SaveFailed,
    kinds.Notice,
    kinds.Evaluated,
    kinds.Ended,
)
"""Events that are sent to the store soon: the log of a killed attempt must hold its last save."""

LANDMARKS = (kinds.FirstStep, kinds.Ended)
"""Events that the progress object keeps, so that one read shows whether they happened."""

_TRIES = 5
"""Number of times that segments are listed. A listed segment that is gone was merged meanwhile."""

FEW = 12
"""Up to this many directories are listed one by one; for more, one long listing costs less."""


def steady_clock(
    wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """A clock in seconds since 1970 that never jumps, so that events keep their order."""
    wall_begin, begin = wall(), monotonic()
    return lambda: wall_begin + (monotonic() - begin)


class EventLog:
    """Writes the events of one attempt. Safe to use from several threads.

    Args:
        run: the run.
        attempt: the number of the attempt, whose events only this attempt writes.
        rank: the rank of this worker; a rank other than 0 writes only how it failed.
        clock: returns seconds since 1970; by default it is a `steady_clock`.
        listener: called with each event, in order.
    """

    def __init__(
        self,
        run: Run,
        attempt: int,
        rank: int = 0,
        clock: Callable[[], float] | None = None,
        listener: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._run, self._attempt, self._rank = run, attempt, rank
        self.clock = clock or steady_clock()
        self._listener = listener
        self._tail: list[Event] = []
        self._count = 0
        self._small: list[tuple[int, str, bytes]] = []
        """For each segment not yet merged: the number of its first event, its name, its content."""
        self._merged_names: list[str] = []
        """Names of the segments that have been merged and are still to be removed."""
        self.news = threading.Event()
        """Set by urgent events, so that the heartbeat can wait for them instead of polling."""
        self._landmarks: dict[str, Event] = {}
        """The newest event of each of the kinds in `LANDMARKS`."""
        self._lock = threading.Lock()
        self._flushing = threading.Lock()

    def add(self, event: E) -> E:
        """Add an event; it reaches the store with the next heartbeat or flush.

        Returns:
            The event with its number, and with the current time if it had none.
        """
        with self._lock:
            update: dict[str, Any] = {"n": self._count}
            if "time" not in event.model_fields_set:
                update["time"] = round(self.clock(), 3)
            event = event.model_copy(update=update)
            self._tail.append(event)
            self._count += 1
            self._listener(event)
            if isinstance(event, LANDMARKS):
                self._landmarks[kinds.name(type(event))] = event
        if isinstance(event, URGENT):
            self.news.set()
        return event

    def tail(self) -> list[Event]:
        """The events that are in no segment yet."""
        with self._lock:
            return list(self._tail)

    def for_progress(self) -> dict[str, Any]:
        """The part of the progress object that is the log's: landmarks by name, and the `tail`."""
        with self._lock:
            landmarks, tail = dict(self._landmarks), list(self._tail)
        by_name = {
            name: {key: value for key, value in event.as_json().items() if key != "n"}
            for name, event in landmarks.items()
        }
        return by_name | {"tail": [event.as_json() for event in tail]}

    def flush(self, *, at_least: int = 1) -> bool:
        """Write the tail as a segment; merge the segments if there are many.

        Args:
            at_least: a tail of fewer events than this is left for later.

        Returns:
            Whether a segment was written.

        Raises:
            OSError: the store failed; the events stay in the tail.
        """
        with self._flushing:
            self._remove_merged()
            events = self.tail()
            if len(events) < at_least or not events:
                return False
            lines = [strict_json.dumps(event.as_json()) + "\n" for event in events]
            data, first = "".join(lines).encode(), events[0].n or 0
            name = segments.name(first, rank=self._rank)
            # A failed flush may have left a segment of this name; all its events are among these.
            self._write(name, data)
            with self._lock:
                del self._tail[: len(events)]
            self._small.append((first, name, data))
            if len(self._small) >= MERGED:
                self._merge()
            return True

    def finish(self) -> None:
        """Write the tail, and merge the segments that are not merged yet.

        Raises:
            OSError: the store failed.
        """
        self.flush()
        with self._flushing:
            if len(self._small) > 1:
                self._merge()

    def _merge(self) -> None:
        """Merge the small segments; they are removed only once the merged one is written."""
        with self._lock:
            end = self._count - len(self._tail) - 1
        name = segments.name(self._small[0][0], end, self._rank)
        self._write(name, b"".join(data for _, _, data in self._small), lasting=True)
        self._merged_names += [name for _, name, _ in self._small]
        self._small = []
        self._remove_merged()

    def _remove_merged(self) -> None:
        if self._merged_names:
            self._run.store.remove([self._path(name) for name in self._merged_names])
            self._merged_names = []

    def _write(self, name: str, data: bytes, *, lasting: bool = False) -> None:
        self._run.store.write(self._path(name), data, lasting=lasting)

    def _path(self, name: str) -> str:
        return f"{self._run.events(self._attempt)}/{name}"


class Reading(NamedTuple):
    """The progress object and the events of an attempt."""

    progress: dict[str, Any]
    """The progress object; empty if there is none."""
    events: list[Event]


def read(run: Run, attempt: int) -> list[Event]:
    """The events of one attempt, in order."""
    return read_all(run, {attempt: 0})[attempt].events


def read_all(run: Run, covered: Mapping[int, int]) -> dict[int, Reading]:
    """The progress objects and events of several attempts, read concurrently.

    Args:
        run: the run.
        covered: for each attempt, how many of its first events need not be read.

    Returns:
        What was read, by attempt.

    Raises:
        OSError: or another error of the file system: something could not be read.
    """
    readings: dict[int, Reading] = {}
    unread = dict(covered)
    for _ in range(_TRIES):
        gone: dict[int, list[str]] = {}
        readings |= _read_listed(run, unread, gone)
        unread = {number: covered[number] for number in gone}
        if not unread:
            break
    for path in (path for paths in gone.values() for path in paths):
        run.store.report_unreadable(path)
    return {number: readings[number] for number in covered}


def _read_listed(
    run: Run, covered: Mapping[int, int], gone: dict[int, list[str]]
) -> dict[int, Reading]:
    """Read what is there; the paths of segments that were listed but are gone go into `gone`."""
    # The progress is read first: a tail that becomes a segment after that is read twice (events
    # are told apart by their numbers), but never missed.
    progress = run.store.read_records([run.progress(n) for n in covered])
    needed: dict[int, dict[Segment, str]] = {}
    for number, names in _listings(run, list(covered)).items():
        listed = segments.of_names(names, partial(_report, run, number))
        uncovered = segments.beyond(listed, covered[number])
        needed[number] = {segment: f"{run.events(number)}/{segment.name}" for segment in uncovered}
    contents = run.store.read_many(path for paths in needed.values() for path in paths.values())
    readings = {}
    for number, paths in needed.items():
        present = [(segment, contents[path]) for segment, path in paths.items() if path in contents]
        if absent := [path for path in paths.values() if path not in contents]:
            gone[number] = absent
        own_progress = progress.get(run.progress(number), {})
        report = partial(_report, run, number)
        events = segments.events_of(present, own_progress.get("tail"), covered[number], report)
        readings[number] = Reading(own_progress, events)
    return readings


def _report(run: Run, number: int, name: str) -> None:
    run.store.report_unreadable(f"{run.events(number)}/{name}")


def _listings(run: Run, numbers: Sequence[int]) -> dict[int, list[str]]:
    """The file names in the event directory of each attempt."""
    if len(numbers) <= FEW:
        listed = run.store.names_of([run.events(number) for number in numbers])
        return {number: listed[run.events(number)] for number in numbers}
    names: dict[int, list[str]] = {number: [] for number in numbers}
    for path in run.store.files(run.events_dir):
        folder, _, name = path.partition("/")
        if name and "/" not in name and folder.isdigit() and int(folder) in names:
            names[int(folder)].append(name)
    return names

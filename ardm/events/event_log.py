"""The event log: what happened in each attempt.

An object store cannot append, and each write costs. So the newest events travel in the progress
object, which is written at every heartbeat anyway; when there are many, and at the end, they become
a segment, a file of their own; and many segments are merged into one.
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
"""Events in the tail that make a segment."""

MERGED = 64
"""Segments that are merged into one."""

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
"""Events that the store should have soon: a killed attempt leaves word of its last save."""

LANDMARKS = (kinds.FirstStep, kinds.Ended)
"""Events that the progress object keeps, so that a single read answers whether they happened."""

_TRIES = 5
"""Times that segments are listed anew when one is gone that was listed: it was merged meanwhile."""

FEW = 12
"""Directories that are listed one by one; of more, one long listing costs less."""


def steady_clock(
    wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """Seconds since 1970 as of now, going on evenly: a clock that is set disorders no events."""
    wall_begin, begin = wall(), monotonic()
    return lambda: wall_begin + (monotonic() - begin)


class EventLog:
    """Writes the events of one attempt. Safe to use from several threads.

    Args:
        run: the run.
        attempt: number of the attempt; nobody else writes its events.
        rank: of the writing worker; others than rank 0 write only how they failed.
        clock: seconds since 1970; default: a steady one.
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
        """First event, name and content of the segments that are yet to be merged."""
        self._merged_names: list[str] = []
        """Of small segments that are in a larger one, and are yet to be removed."""
        self.news = threading.Event()
        """Set by urgent events, so that whoever sends them need not look again and again."""
        self._landmarks: dict[str, Event] = {}
        """The newest event of each of the kinds in `LANDMARKS`."""
        self._lock = threading.Lock()
        self._flushing = threading.Lock()

    def add(self, event: E) -> E:
        """Note an event; it reaches the store with the next heartbeat or flush.

        Returns:
            The event with its number and, where it had none, its time.
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
        """The numbered events that are in no segment yet."""
        with self._lock:
            return list(self._tail)

    def for_progress(self) -> dict[str, Any]:
        """What the progress object holds: the landmarks, and as `tail` what is in no segment."""
        with self._lock:
            landmarks, tail = dict(self._landmarks), list(self._tail)
        plain = {
            name: {key: value for key, value in event.as_json().items() if key != "n"}
            for name, event in landmarks.items()
        }
        return plain | {"tail": [event.as_json() for event in tail]}

    def flush(self, *, at_least: int = 1) -> bool:
        """Write the tail as a segment; merge the segments if there are many.

        Args:
            at_least: events in the tail, else it is left for later.

        Returns:
            Whether a segment was written.

        Raises:
            OSError: the store failed; what was to be written stays in the tail.
        """
        with self._flushing:
            self._remove_merged()
            events = self.tail()
            if len(events) < at_least or not events:
                return False
            lines = [strict_json.dumps(event.as_json()) + "\n" for event in events]
            data, first = "".join(lines).encode(), events[0].n or 0
            name = segments.name(first, rank=self._rank)
            # Overwriting a segment that a failed flush may have left is safe: its events are here.
            self._write(name, data)
            with self._lock:
                del self._tail[: len(events)]
            self._small.append((first, name, data))
            if len(self._small) >= MERGED:
                self._merge()
            return True

    def finish(self) -> None:
        """Write the tail, and merge what small segments there are.

        Raises:
            OSError: the store failed.
        """
        self.flush()
        with self._flushing:
            if len(self._small) > 1:
                self._merge()

    def _merge(self) -> None:
        """Put small segments into a larger one; they go only once it is there."""
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
    """What an attempt has left in the store."""

    progress: dict[str, Any]
    """Empty if there is none."""
    events: list[Event]


def read(run: Run, attempt: int) -> list[Event]:
    """The events of one attempt, in order."""
    return read_all(run, {attempt: 0})[attempt].events


def read_all(run: Run, covered: Mapping[int, int]) -> dict[int, Reading]:
    """The progress objects and events of several attempts, all read at the same time.

    Args:
        run: the run.
        covered: for each attempt, the number of its first events that need not be read.

    Returns:
        By attempt.

    Raises:
        OSError: or another error of the file system: something could not be read.
    """
    found: dict[int, Reading] = {}
    left = dict(covered)
    for _ in range(_TRIES):
        gone: dict[int, list[str]] = {}
        found |= _read_listed(run, left, gone)
        left = {number: covered[number] for number in gone}
        if not left:
            break
    for path in (path for paths in gone.values() for path in paths):
        run.store.report_unreadable(path)
    return {number: found[number] for number in covered}


def _read_listed(
    run: Run, covered: Mapping[int, int], gone: dict[int, list[str]]
) -> dict[int, Reading]:
    """What can be read; segments that were listed and are not there are added to `gone`."""
    # The progress first: a tail that becomes a segment after that is met twice, never missed.
    progress = run.store.read_records([run.progress(n) for n in covered])
    needed: dict[int, dict[Segment, str]] = {}
    for number, names in _listings(run, list(covered)).items():
        listed = segments.of_names(names, partial(_report, run, number))
        some = segments.beyond(listed, covered[number])
        needed[number] = {segment: f"{run.events(number)}/{segment.name}" for segment in some}
    contents = run.store.read_many(path for some in needed.values() for path in some.values())
    found = {}
    for number, paths in needed.items():
        there = [(segment, contents[path]) for segment, path in paths.items() if path in contents]
        if absent := [path for path in paths.values() if path not in contents]:
            gone[number] = absent
        mine = progress.get(run.progress(number), {})
        report = partial(_report, run, number)
        events = segments.events_of(there, mine.get("tail"), covered[number], report)
        found[number] = Reading(mine, events)
    return found


def _report(run: Run, number: int, name: str) -> None:
    run.store.report_unreadable(f"{run.events(number)}/{name}")


def _listings(run: Run, numbers: Sequence[int]) -> dict[int, list[str]]:
    """Names in the directories of events."""
    if len(numbers) <= FEW:
        listed = run.store.names_of([run.events(number) for number in numbers])
        return {number: listed[run.events(number)] for number in numbers}
    names: dict[int, list[str]] = {number: [] for number in numbers}
    for path in run.store.files(run.events_dir):
        folder, _, name = path.partition("/")
        if name and "/" not in name and folder.isdigit() and int(folder) in names:
            names[int(folder)].append(name)
    return names

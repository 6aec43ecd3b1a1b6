"""Names of an attempt's segments, and the events that they hold, each of them once.

The events of rank 0 are numbered from 0 in the order of their happening (`n`). A segment bears the
number of its first event; one that replaces several smaller ones bears that of its last, too. While
the smaller ones are being removed a reader meets both, and a crash may leave both, so events are
told apart by their numbers. Older attempts have numbered segments, and no numbers of events.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from ardm.events.events import Event
from ardm.events.kinds import of_json, parse

_NAME = re.compile(r"(?:rank(\d+)-)?(\d{6,})(?:-(\d{6,}))?\.jsonl")
_BEING_WRITTEN = re.compile(r".+\.[0-9a-f]{32}")
"""A local file that is renamed once it is complete."""


class Segment(NamedTuple):
    """A file of events."""

    rank: int
    """Of the worker that wrote it."""
    first: int
    last: int | None
    """Number of its last event, if its name says so."""
    name: str


def name(first: int, last: int | None = None, rank: int = 0) -> str:
    """The name of a segment."""
    prefix = f"rank{rank}-" if rank else ""
    return f"{prefix}{first:06d}{'' if last is None else f'-{last:06d}'}.jsonl"


def of_names(names: Iterable[str], report: Callable[[str], None]) -> list[Segment]:
    """The segments among the names of a directory, in order.

    Args:
        names: directly in the directory.
        report: called with every other name.
    """
    found = []
    for entry in names:
        if match := _NAME.fullmatch(entry):
            rank, first, last = match.groups()
            found.append(Segment(int(rank or 0), int(first), int(last) if last else None, entry))
        elif not _BEING_WRITTEN.fullmatch(entry):
            report(entry)
    return sorted(found, key=lambda s: (s.rank, s.first, s.last or s.first))


def beyond(segments: Sequence[Segment], covered: int) -> list[Segment]:
    """The segments that may hold events which a summary of the first ones does not cover.

    Args:
        segments: as `of_names` gives them.
        covered: number of events of rank 0 that are known.
    """
    if not covered:
        return list(segments)
    mine = [segment for segment in segments if segment.rank == 0]
    begins = [segment.first for segment in mine[1:]]
    needed = [segment for segment in segments if segment.rank]
    for segment, after in zip_longest(mine, begins):
        if segment.last is not None:
            over = segment.last < covered
        else:
            over = after is not None and segment.first < after <= covered
        if not over:
            needed.append(segment)
    return needed


def events_of(
    contents: Iterable[tuple[Segment, bytes]],
    tail: object,
    covered: int,
    report: Callable[[str], None],
) -> list[Event]:
    """All events beyond those that are covered, in order, each of them once.

    Args:
        contents: segments and their bytes, in order.
        tail: what the progress object holds; perhaps not events at all.
        covered: number of events of rank 0 that are known.
        report: called with the name of a segment whose lines are not all events.
    """
    numbered: dict[tuple[int, int], Event] = {}
    others: list[Event] = []
    for rank, event in _all(contents, tail, report):
        if event.n is None:
            others.append(event)
        elif rank or event.n >= covered:
            numbered.setdefault((rank, event.n), event)
    return others + [event for _, event in sorted(numbered.items(), key=lambda item: item[0])]


def _all(
    contents: Iterable[tuple[Segment, bytes]], tail: object, report: Callable[[str], None]
) -> Iterator[tuple[int, Event]]:
    for segment, data in contents:
        for event in parse(data, lambda segment=segment: report(segment.name)):  # type: ignore[misc]
            yield segment.rank, event
    for value in tail if isinstance(tail, list) else ():
        held = of_json(value)
        if held is not None:
            yield 0, held

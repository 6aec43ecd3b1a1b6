"""Names of an attempt's segments, and the events that they hold, without duplicates.

The events of each worker are numbered from 0 in the order in which they happen (`n`). The name of a
segment is the number of its first event; a merged segment is named after its first and last event.
A reader may see both the merged segment and the smaller ones, since a crash can come before these
are removed; so duplicates are recognized by their numbers. In attempts of earlier versions the
segments are numbered and the events are not.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from ardm.events.events import Event
from ardm.events.kinds import of_json, parse

_NAME = re.compile(r"(?:rank(\d+)-)?(\d{6,})(?:-(\d{6,}))?\.jsonl")
_BEING_WRITTEN = re.compile(r".+\.[0-9a-f]{32}")
"""The name of a local file until it is complete, when it is renamed."""


class Segment(NamedTuple):
    """A file of events."""

    rank: int
    """Rank of the worker that wrote it."""
    first: int
    """Number of its first event."""
    last: int | None
    """Number of its last event, if it is a merged segment."""
    name: str


def name(first: int, last: int | None = None, rank: int = 0) -> str:
    """The name of a segment."""
    prefix = f"rank{rank}-" if rank else ""
    return f"{prefix}{first:06d}{'' if last is None else f'-{last:06d}'}.jsonl"


def of_names(names: Iterable[str], report: Callable[[str], None]) -> list[Segment]:
    """The segments in a directory, in order.

    Args:
        names: the names of the files in the directory.
        report: called with every name that is not one of a segment.
    """
    segments = []
    for entry in names:
        if match := _NAME.fullmatch(entry):
            rank, first, last = match.groups()
            segments.append(Segment(int(rank or 0), int(first), int(last) if last else None, entry))
        elif not _BEING_WRITTEN.fullmatch(entry):
            report(entry)
    return sorted(segments, key=lambda s: (s.rank, s.first, s.last or s.first))


def beyond(segments: Sequence[Segment], covered: int) -> list[Segment]:
    """The segments that may hold events beyond the first ones, which a summary covers.

    Args:
        segments: all segments, as `of_names` returns them.
        covered: how many of the first events of rank 0 the summary covers.
    """
    if not covered:
        return list(segments)
    of_rank_0 = [segment for segment in segments if segment.rank == 0]
    next_firsts = [segment.first for segment in of_rank_0[1:]]
    needed = [segment for segment in segments if segment.rank]
    for segment, next_first in zip_longest(of_rank_0, next_firsts):
        if segment.last is not None:
            known = segment.last < covered
        else:
            known = next_first is not None and segment.first < next_first <= covered
        if not known:
            needed.append(segment)
    return needed


def events_of(
    contents: Iterable[tuple[Segment, bytes]],
    tail: object,
    covered: int,
    report: Callable[[str], None],
) -> list[Event]:
    """All events beyond those that are covered, in order and without duplicates.

    Args:
        contents: the segments and their bytes, in order.
        tail: the `tail` of the progress object; any JSON value, as it comes from the store.
        covered: how many of the first events of rank 0 are left out.
        report: called with the name of a segment that has a line which is no event.
    """
    numbered: dict[tuple[int, int], Event] = {}
    unnumbered: list[Event] = []
    for rank, event in _all(contents, tail, report):
        if event.n is None:
            unnumbered.append(event)
        elif rank or event.n >= covered:
            numbered.setdefault((rank, event.n), event)
    return unnumbered + [event for _, event in sorted(numbered.items(), key=lambda item: item[0])]


def _all(
    contents: Iterable[tuple[Segment, bytes]], tail: object, report: Callable[[str], None]
) -> Iterator[tuple[int, Event]]:
    for segment, data in contents:
        for event in parse(data, lambda segment=segment: report(segment.name)):  # type: ignore[misc]
            yield segment.rank, event
    for value in tail if isinstance(tail, list) else ():
        in_tail = of_json(value)
        if in_tail is not None:
            yield 0, in_tail

"""The ledger: what happened in each attempt, as events in append-only segments.

An object store cannot append, so each flush writes one small object of its own.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ardm import strict_json
from ardm.runs.layout import Run

log = logging.getLogger(__name__)

Event = dict[str, Any]
"""At least `event` (its kind) and `time` (seconds since 1970)."""


class Ledger:
    """Writes the events of one attempt. Safe to use from several threads.

    Args:
        run: the run.
        attempt: number of the attempt; nobody else writes its events.
        rank: of the writing worker; others than rank 0 write only how they failed.
        clock: seconds since 1970.
    """

    def __init__(
        self, run: Run, attempt: int, rank: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        self._run, self._attempt, self._clock = run, attempt, clock
        self._prefix = f"rank{rank}-" if rank else ""
        self._pending: list[Event] = []
        self._segment = 0
        self.news = threading.Event()
        """Set by every event, so that whoever flushes need not look again and again."""
        self._lock = threading.Lock()
        self._flushing = threading.Lock()

    def add(self, kind: str, **fields: Any) -> Event:
        """Note an event; it reaches the store with the next flush. Numbers not finite are None."""
        event: Event = {"event": kind, "time": round(self._clock(), 3)}
        event |= strict_json.finite(fields)
        with self._lock:
            self._pending.append(event)
        self.news.set()
        return event

    def flush(self) -> None:
        """Write what is pending.

        Raises:
            OSError: the store failed; the events stay pending.
        """
        with self._flushing:
            with self._lock:
                events = list(self._pending)
            if not events:
                return
            data = "".join(strict_json.dumps(event) + "\n" for event in events).encode()
            name = f"{self._run.events(self._attempt)}/{self._prefix}{self._segment:06d}.jsonl"
            # Overwriting a segment that a failed flush may have left is safe: its events are here.
            self._run.store.write(name, data)
            self._segment += 1
            with self._lock:
                del self._pending[: len(events)]


def read(run: Run, attempt: int) -> list[Event]:
    """The events of one attempt, in order."""
    directory = run.events(attempt)
    names = [name for name in run.store.names(directory) if name.endswith(".jsonl")]
    segments = run.store.read_many([f"{directory}/{name}" for name in names])
    return [json.loads(line) for segment in segments for line in segment.splitlines()]


def last(events: list[Event], kind: str) -> Event | None:
    """The latest event of a kind."""
    return next((event for event in reversed(events) if event["event"] == kind), None)

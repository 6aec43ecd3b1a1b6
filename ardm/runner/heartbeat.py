"""The heartbeat of an attempt, on a thread of its own.

It writes one object, the progress, in which the newest events travel; and it listens for a stop
request and for a newer claim. A write costs ten times as much as a read and more, so reads come
often, writes seldom, and soon only after an event that matters. No fault of the store reaches the
training thread, and a failure in one task does not stop the others.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from ardm import strict_json
from ardm.events import event_log
from ardm.events.event_log import EventLog
from ardm.events.summaries import Summarizer
from ardm.runner.context import Timings
from ardm.runner.uploads import Uploads
from ardm.store import claims
from ardm.store.retry import BACK_OFF, LONGEST_BACK_OFF, Deadline
from ardm.store.run_directory import Run

log = logging.getLogger(__name__)

BEAT_LOCAL, BEAT_REMOTE = 1.0, 20.0
"""Seconds between two writes of the progress without an urgent event."""

BREATH_LOCAL, BREATH_REMOTE = 1.0, 2.0
"""Seconds between any two: a cloud store takes one write per second to an object."""

AGAIN = 4.0
"""Seconds until a write that failed is tried again."""

LISTEN_LOCAL, LISTEN_REMOTE = 1.0, 4.0
"""Seconds between two looks for a stop request and a newer claim."""

LISTING = 600.0
"""Seconds between two listings of all claims; in between only the next one is looked for."""


class Heartbeat:
    """Heartbeat of one attempt.

    Args:
        run: the run.
        number: of the attempt.
        events: the newest ones are sent with every beat.
        progress: called at every beat for what `ardm status` and `ardm watch` show.
        summary: of the attempt; written whenever events become a segment.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        run: Run,
        number: int,
        events: EventLog,
        progress: Callable[[], dict[str, Any]],
        summary: Summarizer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._number, self._events, self._progress = run, number, events, progress
        self._summary, self._clock = summary, clock
        self.uploads = Uploads(run, number, clock)
        self._ended = threading.Event()
        self._last = Deadline(0.0)
        self._thread = threading.Thread(target=self._beats, name="ardm-recorder", daemon=True)
        self._beat_number = 0
        self._listened = self._listed = self._written = -math.inf
        self._failed = False
        self.stop_requested = False
        self.superseded_by: int | None = None

    def start(self) -> None:
        self._thread.start()
        self.uploads.start()

    def close(self, deadline: Deadline | None = None) -> None:
        """Send everything that is left, again and again until the deadline.

        Args:
            deadline: by default `Timings.last_words` from now.
        """
        self._last = deadline or Deadline(Timings().last_words)
        self._ended.set()
        self._events.news.set()
        self.uploads.end(self._last)
        if self._thread.ident is None:
            self._thread.start()
        # Not for ever: the thread may hang in a call to the store.
        while self._thread.is_alive() and (left := self._last.left()) > 0:
            self._thread.join(min(left, 0.25))
        self.uploads.close()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Note a value of a step for TensorBoard; one that is not finite leaves a gap."""
        if math.isfinite(value):
            self.uploads.scalar(tag, value, step)

    def put(self, kind: str, name: str, data: bytes) -> None:
        """Write a picture; a fault of the store costs the picture and a warning."""
        try:
            self._run.store.write(self._run.file(kind, name), data)
        except Exception as error:  # every file system has errors of its own
            log.warning("%s/%s could not be written (%s)", kind, name, error)

    def _beats(self) -> None:
        while not self._ended.is_set():
            self.do_what_is_due()
            pause = max(self._pause(), 0.01)
            # Where an urgent event waits for its turn already, another one changes nothing.
            (self._ended if self._events.news.is_set() else self._events.news).wait(pause)
        pause = BACK_OFF
        while not self._last_words() and (left := self._last.left()) > 0:
            time.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_BACK_OFF)

    def do_what_is_due(self) -> None:
        """Listen and write, each if it is time for it."""
        now = self._clock()
        if now >= self._listened + self._by_store(LISTEN_LOCAL, LISTEN_REMOTE):
            self._listened = now
            self._try(self._hear_stop, self._hear_newer)
        if now >= self._next_write():
            self._events.news.clear()
            self._failed = not self._try(self._write_progress, self._write_segment)
            self._written = self._clock()

    def _pause(self) -> float:
        """Seconds until something is due."""
        listen = self._listened + self._by_store(LISTEN_LOCAL, LISTEN_REMOTE)
        return min(listen, self._next_write()) - self._clock()

    def _next_write(self) -> float:
        beat = self._by_store(BEAT_LOCAL, BEAT_REMOTE)
        if self._events.news.is_set():
            return self._written + self._by_store(BREATH_LOCAL, BREATH_REMOTE)
        return self._written + (min(beat, AGAIN) if self._failed else beat)

    def _by_store(self, local: float, remote: float) -> float:
        return local if self._run.store.is_local else remote

    def _last_words(self) -> bool:
        """Leave word of the end, then bring the events to where they stay."""
        return self._try(self._write_progress, self._events.finish, self._write_summary)

    def _try(self, *parts: Callable[[], object]) -> bool:
        """Do each part, whatever becomes of the others; whether all of them succeeded."""
        failed = 0
        for part in parts:
            try:
                part()
            except Exception as error:  # tried again; training must not end for it
                failed += 1
                log.debug("the store does not answer (%s)", error)
        return not failed

    def _write_progress(self) -> None:
        self._beat_number += 1
        progress = self._progress() | {
            "time": round(self._events.clock(), 3),
            "beat": self._beat_number,
            "beat_s": self._by_store(BEAT_LOCAL, BEAT_REMOTE),
            **self._events.for_progress(),
        }
        self._run.store.write(
            self._run.progress(self._number), strict_json.dumps(progress).encode()
        )

    def _write_segment(self) -> None:
        if self._events.flush(at_least=event_log.FULL):
            self._write_summary()

    def _write_summary(self) -> None:
        if self._summary is not None:
            self._summary.write()

    def _hear_stop(self) -> None:
        if not self.stop_requested:
            self.stop_requested = self._run.store.exists(self._run.stop_request(self._number))

    def _hear_newer(self) -> None:
        """Look for the next claim; now and then for all: one in between may have been removed."""
        if self._clock() >= self._listed + LISTING:
            self.superseded_by = claims.newer(self._run, self._number) or self.superseded_by
            self._listed = self._clock()
        elif self.superseded_by is None and self._run.store.exists(
            self._run.claim(self._number + 1)
        ):
            self.superseded_by = self._number + 1

"""The heartbeat of an attempt, on a thread of its own.

It writes the progress object, which holds the newest events, and it looks for a stop request and
for a newer claim. A write costs at least ten times as much as a read. So reads are frequent and
writes rare, except soon after an urgent event. No fault of the store reaches the training thread,
and a failure in one task does not stop the others.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
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
from ardm.trackers import choose
from ardm.trackers.follower import Follower
from ardm.trackers.journal import Journal
from ardm.trackers.tracker import About, Picture, Record, Scalar, Text

log = logging.getLogger(__name__)


class Heartbeat:
    """The heartbeat of one attempt.

    Args:
        run: the run.
        number: the number of the attempt.
        events: the event log, whose newest events are written with every beat.
        progress: called at every beat for what `ardm status` and `ardm watch` show.
        summary: the summary of the attempt, which is written after every segment.
        clock: returns monotonic seconds.
        timings: how often it beats, and how long the last writes are retried.
    """

    def __init__(
        self,
        run: Run,
        number: int,
        events: EventLog,
        progress: Callable[[], dict[str, Any]],
        summary: Summarizer | None = None,
        clock: Callable[[], float] = time.monotonic,
        timings: Timings | None = None,
    ) -> None:
        self._run, self._number, self._events, self._progress = run, number, events, progress
        self._summary, self._clock = summary, clock
        self._timings = timings or Timings()
        self._rhythm = self._timings.local if run.store.is_local else self._timings.remote
        self.uploads = Uploads(run, number, clock)
        self._ended = threading.Event()
        self._deadline = Deadline(0.0)
        self._thread = threading.Thread(target=self._beats, name="ardm-recorder", daemon=True)
        self._has_tensorboard = True
        self._followers: Sequence[Follower] = ()
        self._beat_number = 0
        self._listened = self._listed = self._written = -math.inf
        self._failed = False
        self.stop_requested = False
        self.superseded_by: int | None = None

    def start(self) -> None:
        self._thread.start()
        self.uploads.start()

    def close(
        self, deadline: Deadline | None = None, *, goes_on: bool = True, pressed: bool = False
    ) -> None:
        """Write everything that is left, with retries until the deadline.

        Args:
            deadline: when the retries end; by default `Timings.last_words` seconds from now.
            goes_on: whether another attempt will take the steps again that were not saved. If none
                will, trackers of other projects get more time, unless time is pressing.
            pressed: whether the process may be ended soon.
        """
        self._deadline = deadline or Deadline(self._timings.last_words)
        self._ended.set()
        self._events.news.set()
        self.uploads.end(self._deadline)
        if self._thread.ident is None:
            self._thread.start()
        # Not for ever: the thread may hang in a call to the store.
        while self._thread.is_alive() and (left := self._deadline.left()) > 0:
            self._thread.join(min(left, 0.25))
        self.uploads.close()
        if not goes_on and not pressed:
            last = Deadline(max(self._deadline.left(), self._timings.last_figures))
        else:
            last = self._deadline
        for follower in self._followers:
            follower.close(max(last.left(), 0.0), all_records=not goes_on)

    def track(
        self,
        first_step: int,
        about: About,
        names: Sequence[str],
        saved: Callable[[], int | None],
    ) -> None:
        """Open the trackers, before the first record.

        Args:
            first_step: the first step of the attempt.
            about: the run.
            names: names of the trackers.
            saved: returns the step of the newest committed checkpoint.
        """
        self._has_tensorboard = "tensorboard" in names
        self.uploads.begin(first_step, about)
        self._followers = [
            Follower(
                name,
                choose.opener(name, about),
                saved,
                first_step,
                Journal(self._run, self._number, name),
            )
            for name in names
            if name in choose.FOLLOWERS
        ]

    def keep_records(self) -> None:
        """Write to the store what trackers have not got yet, so that a kill does not lose it.

        It is called before a checkpoint is committed. A failure is left to the save itself.
        """
        keepers = [follower.keep for follower in self._followers]
        self._try(*([self.uploads.keep_records] if self._has_tensorboard else []), *keepers)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Add a value of a step to the trackers; a value that is not finite is left out."""
        if math.isfinite(value):
            self._record(Scalar(tag, step, time.time(), value))

    def text(self, tag: str, text: str, step: int) -> None:
        """Add a text of a step, in Markdown, to the trackers."""
        self._record(Text(tag, step, time.time(), text))

    def picture(self, tag: str, png: bytes, step: int) -> None:
        """Add a picture of a step to the trackers."""
        self._record(Picture(tag, step, time.time(), png))

    def _record(self, record: Record) -> None:
        if self._has_tensorboard:
            self.uploads.add(record)
        for follower in self._followers:
            follower.add(record)

    def put(self, kind: str, name: str, data: bytes) -> None:
        """Write a file, such as a picture; if the store fails, it is lost and a warning logged."""
        try:
            self._run.store.write(self._run.file(kind, name), data)
        except Exception as error:  # every file system has errors of its own
            log.warning("%s/%s could not be written (%s)", kind, name, error)

    def _beats(self) -> None:
        while not self._ended.is_set():
            self.do_what_is_due()
            pause = max(self._pause(), 0.01)
            # If an urgent event is already waiting to be written, only the end may cut the pause.
            (self._ended if self._events.news.is_set() else self._events.news).wait(pause)
        pause = BACK_OFF
        while not self._last_words() and (left := self._deadline.left()) > 0:
            time.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_BACK_OFF)

    def do_what_is_due(self) -> None:
        """Look for requests if that is due, and write if that is due."""
        now = self._clock()
        if now >= self._listened + self._rhythm.listen:
            self._listened = now
            self._try(self._check_stop_request, self._check_newer_claim)
        if now >= self._next_write():
            self._events.news.clear()
            self._failed = not self._try(self._write_progress, self._write_segment)
            self._written = self._clock()

    def _pause(self) -> float:
        """Seconds until something is due."""
        listen = self._listened + self._rhythm.listen
        return min(listen, self._next_write()) - self._clock()

    def _next_write(self) -> float:
        beat = self._rhythm.beat
        if self._events.news.is_set():
            return self._written + self._rhythm.breath
        return self._written + (min(beat, self._rhythm.retry) if self._failed else beat)

    def _last_words(self) -> bool:
        """Write the end to the progress object, then the events and the summary."""
        return self._try(self._write_progress, self._events.finish, self._write_summary)

    def _try(self, *parts: Callable[[], object]) -> bool:
        """Do all parts, even if some of them fail; whether all succeeded."""
        failed = 0
        for part in parts:
            try:
                part()
            except Exception as error:  # it is retried; training must not end because of it
                failed += 1
                log.debug("the store does not answer (%s)", error)
        return not failed

    def _write_progress(self) -> None:
        self._beat_number += 1
        progress = self._progress() | {
            "time": round(self._events.clock(), 3),
            "beat": self._beat_number,
            "beat_s": self._rhythm.beat,
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

    def _check_stop_request(self) -> None:
        if not self.stop_requested:
            self.stop_requested = self._run.store.exists(self._run.stop_request(self._number))

    def _check_newer_claim(self) -> None:
        """Look for the next claim; at times list all, since that one may have been removed."""
        if self._clock() >= self._listed + self._rhythm.listing:
            self.superseded_by = claims.newer(self._run, self._number) or self.superseded_by
            self._listed = self._clock()
        elif self.superseded_by is None and self._run.store.exists(
            self._run.claim(self._number + 1)
        ):
            self.superseded_by = self._number + 1

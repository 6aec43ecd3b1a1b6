"""Passes records to a tracker of another project, such as Weights & Biases, in a thread.

Such a tracker cannot delete a record. It therefore gets the records of a step only after a
checkpoint of that step or of a later one is committed. What it has not got by then is in a journal
(`ardm.trackers.journal`), from which the next attempt passes it on. So it shows every step once,
and lacks none. A tracker that fails or hangs does not delay the training.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile

from ardm.errors import in_a_line
from ardm.trackers.journal import Journal
from ardm.trackers.tracker import Record, Tracker

log = logging.getLogger(__name__)

PAUSE_S = 5.0
"""Seconds between two looks for records that can be passed on."""

MOST = 200_000
"""Records that are kept for a tracker that fails; older ones are dropped."""


class Follower:
    """Passes the records of an attempt on to a tracker.

    Args:
        name: name of the tracker, for messages.
        open_tracker: opens the tracker; called on the thread, since it may take long.
        saved: returns the step of the newest committed checkpoint; None as long as there is none.
        first_step: the first step of the attempt.
        journal: what earlier attempts left, and where this one keeps what is not passed on.
    """

    def __init__(
        self,
        name: str,
        open_tracker: Callable[[], Tracker],
        saved: Callable[[], int | None],
        first_step: int,
        journal: Journal,
    ) -> None:
        self._name, self._open, self._saved = name, open_tracker, saved
        self._first_step, self._journal = first_step, journal
        self._records: deque[Record] = deque(maxlen=MOST)
        self._passed: int | None = None
        """The last step that the tracker has got; None until the journal is read."""
        self._kept = False
        """Whether the journal holds records."""
        self._lock = threading.Lock()
        self._tracker: Tracker | None = None
        self._ended, self._all = threading.Event(), False
        self._warned = False
        self._thread = threading.Thread(target=self._work, name=f"ardm-{name}", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """Add a record, to be passed on once its step is saved."""
        self._records.append(record)

    def keep(self) -> None:
        """Write the records that are not passed on to the journal.

        Raises:
            OSError: the store fails; some file systems raise errors of another class.
        """
        with self._lock:
            passed = self._begin()
            if self._records or self._kept:
                self._write_journal(passed)

    def close(self, seconds: float, *, all_records: bool) -> None:
        """Pass on what is left, and close the tracker.

        Args:
            seconds: how long to wait for it.
            all_records: whether to pass on records of steps that were not saved, too, since nobody
                will take these steps again.
        """
        self._all = all_records
        self._ended.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            log.warning(
                "%s has not got the last figures within %.0f s; another training of this run "
                "passes on those of saved steps", self._name, seconds,
            )  # fmt: skip

    def _work(self) -> None:
        while not self._ended.wait(PAUSE_S):
            self._pass_on()
        self._pass_on(everything=self._all)
        if self._tracker is not None:
            with suppress(Exception):  # of any kind, of a library of others; the training is over
                self._tracker.close()

    def _pass_on(self, *, everything: bool = False) -> None:
        """Pass on the records of steps that are saved, or all of them."""
        saved = math.inf if everything else self._saved()
        try:
            with self._lock:
                passed = self._begin()
            due = list(takewhile(lambda r: saved is not None and r.step <= saved, [*self._records]))
            if not due:
                return
            # If an attempt began with an older checkpoint than the one before it, the tracker has
            # the figures of the steps that were taken again; they are the same.
            if new := [record for record in due if record.step > passed]:
                if self._tracker is None:
                    self._tracker = self._open()
                self._tracker.write(new)
        except Exception as error:  # of any kind, of a library of others
            if not self._warned:
                log.warning("%s does not take the figures (%s)", self._name, in_a_line(error))
            self._warned = True
            return
        self._warned = False
        with self._lock:
            for record in due:
                if self._records and self._records[0] is record:  # it may have been dropped
                    self._records.popleft()
            self._passed = max(passed, due[-1].step)
            with suppress(Exception):  # the store fails; the records may be passed on twice
                self._write_journal(self._passed)

    def _begin(self) -> int:
        """Take over what earlier attempts left; the last step that the tracker has got."""
        if self._passed is None:
            passed, left = self._journal.read()
            # Later steps than that of the checkpoint will be taken again.
            self._records.extendleft(r for r in reversed(left) if r.step < self._first_step)
            self._passed = passed
        return self._passed

    def _write_journal(self, passed: int) -> None:
        self._journal.write(passed, [*self._records])
        self._kept = bool(self._records)

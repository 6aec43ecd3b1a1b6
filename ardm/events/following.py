"""Looking at a run again and again, at the cost of a small read or two per look."""

import math
import time
from collections.abc import Callable
from typing import Any

from ardm.events.events import number
from ardm.store.liveness import stale_s
from ardm.store.run_directory import Run

LOOK_LOCAL, LOOK_REMOTE = 1.0, 2.0
"""Seconds between two looks."""

LISTING = 600.0
"""Seconds between two listings of all claims; in between only the next one is looked for."""


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
            self._number = max(self._run.attempts(), default=0)
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

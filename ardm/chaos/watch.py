"""Looks past the faults of the store at a run, all the time: the newest checkpoint must stay."""

import threading
import time
from typing import Any, NamedTuple, Self

from ardm.outages import of_the_store
from ardm.store.run_directory import Run

BEAT = 0.3
"""Seconds between two looks."""


class Place(NamedTuple):
    """A finished checkpoint."""

    step: int
    attempt: int


class Watch:
    """Notes whenever the newest finished checkpoint is an older one than before.

    Args:
        run: in a bucket, reached without faults.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pattern = f"{run.store.root}/{run.checkpoints_dir}/*/*/commit_success.txt"
        self._given_up: set[Place] = set()
        self.newest: Place | None = None
        """At the last look; None while there is none, and once it was given up."""
        self.went_back: list[str] = []
        """One line for each time that the newest good checkpoint was removed."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="ardm-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def good(self) -> list[Place]:
        """Finished checkpoints that nobody has damaged, the newest first."""
        found = [path.split("/")[-3:-1] for path in self._run.store.fs.glob(self._pattern)]
        places = {Place(int(step), int(attempt)) for attempt, step in found}
        return sorted(places - self._given_up, reverse=True)

    def give_up(self, place: Place) -> None:
        """From now on a checkpoint counts no more; it is about to be damaged."""
        self._given_up.add(place)
        self.newest = None

    def progress(self) -> dict[str, Any]:
        """What the newest attempt last told of itself; empty before it has."""
        number = max(self._run.attempts(), default=None)
        return (self._run.store.read_record(self._run.progress(number)) or {}) if number else {}

    def _look(self) -> None:
        while not self._over.wait(BEAT):
            before = self.newest
            try:
                newest = next(iter(self.good()), None)
            except Exception as error:
                if not of_the_store(error):
                    raise
                continue
            gone = before and (newest is None or newest.step < before.step)
            if before and gone and before not in self._given_up:
                left = f"step {newest.step}" if newest else "none"
                self.went_back.append(
                    f"the newest checkpoint, of step {before.step} (attempt {before.attempt}), was "
                    f"removed at {time.strftime('%H:%M:%S')}; {left} was left"
                )
            self.newest = newest

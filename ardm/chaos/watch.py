"""Watches a run, bypassing the faults of its store: its newest checkpoint must not be removed."""

import threading
import time
from typing import Any, NamedTuple, Self

from ardm.outages import of_the_store
from ardm.store.run_directory import Run

POLL_S = 0.3
"""Time between two listings of the checkpoints (seconds)."""


class FinishedCheckpoint(NamedTuple):
    """A checkpoint that has been committed; they sort by step."""

    step: int
    attempt: int


class Watch:
    """Records every removal of the newest finished checkpoint, on a thread of its own.

    Args:
        run: the run, in a bucket; its store address must bypass the faults of the proxy.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pattern = f"{run.store.root}/{run.checkpoints_dir}/*/*/commit_success.txt"
        self._excluded: set[FinishedCheckpoint] = set()
        self.newest: FinishedCheckpoint | None = None
        self.lost_checkpoints: list[str] = []
        """One line for each time that the newest intact checkpoint was removed."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ardm-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def intact(self) -> list[FinishedCheckpoint]:
        """The finished checkpoints that no fault has damaged, the newest first."""
        paths = [path.split("/")[-3:-1] for path in self._run.store.fs.glob(self._pattern)]
        finished = {FinishedCheckpoint(int(step), int(attempt)) for attempt, step in paths}
        return sorted(finished - self._excluded, reverse=True)

    def exclude(self, checkpoint: FinishedCheckpoint) -> None:
        """Ignore a checkpoint from now on, because it is about to be damaged."""
        self._excluded.add(checkpoint)
        self.newest = None

    def progress(self) -> dict[str, Any]:
        """The last progress report of the newest attempt; empty if there is none."""
        number = self._run.newest_attempt()
        return self._run.read_progress(number) if number else {}

    def _watch(self) -> None:
        while not self._ended.wait(POLL_S):
            before = self.newest
            try:
                newest = next(iter(self.intact()), None)
            except Exception as error:
                if not of_the_store(error):
                    raise
                continue
            gone = before and (newest is None or newest.step < before.step)
            if before and gone and before not in self._excluded:
                remaining = f"step {newest.step}" if newest else "none"
                self.lost_checkpoints.append(
                    f"the newest checkpoint, of step {before.step} (attempt {before.attempt}), was "
                    f"removed at {time.strftime('%H:%M:%S')}; {remaining} was left"
                )
            self.newest = newest

"""Readers protect the checkpoint that they read from being pruned.

A reader on a slow link may need longer for a checkpoint than the run keeps it. So it writes a small
object that names the checkpoint, and writes it anew while it reads. The run that prunes keeps the
checkpoint as long as that object changes; it compares two looks at it, so clocks do not matter.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ardm.store.run_directory import Run

log = logging.getLogger(__name__)

DELAY = 0.5
"""Seconds of reading before a lease is taken: a quick reader needs none."""

RENEWAL, EXPIRY = 20.0, 120.0
"""Seconds between two renewals, and those after which an unchanged lease has run out."""


@contextmanager
def hold(run: Run, attempt: int, step: int) -> Iterator[None]:
    """Protect a checkpoint while the block runs, as far as the reader may write to the store."""
    over = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(run, attempt, step, over), name="ardm-lease", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()


def _renew(run: Run, attempt: int, step: int, over: threading.Event) -> None:
    pause = DELAY
    while not over.wait(pause):
        pause = RENEWAL
        try:
            run.store.write(run.lease(attempt, step), uuid.uuid4().hex.encode())
        except Exception as error:  # who may only read has no lease, and looks for a newer one
            log.debug("no lease on step %d (%s)", step, error)


class Leases:
    """What the pruning side knows of the leases of a run.

    Args:
        run: the run.
        clock: monotonic seconds.
    """

    def __init__(self, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._seen: dict[str, tuple[bytes, float]] = {}
        """For each lease its content, and when that was first seen."""

    def held(self, attempt: int, step: int) -> bool:
        """Whether somebody reads a checkpoint. A lease that has run out is removed."""
        name = self._run.lease(attempt, step)
        content = self._run.store.read(name)
        if content is None:
            self._seen.pop(name, None)
            return False
        before, since = self._seen.get(name, (None, 0.0))
        if content != before:
            self._seen[name] = content, self._clock()
            return True
        if self._clock() - since < EXPIRY:
            return True
        self._run.store.remove_tree(name)
        del self._seen[name]
        return False

"""Leases: a reader protects the checkpoint that it reads from being pruned.

A reader on a slow link may need more time for a checkpoint than the run keeps it. So it writes a
small object, the lease, and rewrites it with new content while it reads. The run that prunes keeps
the checkpoint as long as the content changes. It uses its own clock alone, so clocks may differ.
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
"""Seconds after which a reader writes a lease; one that is done sooner needs none."""

RENEWAL, EXPIRY = 20.0, 120.0
"""Seconds between two renewals of a lease, and seconds after which an unchanged lease expires."""


@contextmanager
def hold(run: Run, attempt: int, step: int) -> Iterator[None]:
    """Protect a checkpoint while the block runs, if the reader may write to the store."""
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
        except Exception as error:  # a reader without write access retries with a newer checkpoint
            log.debug("the lease on step %d could not be written (%s)", step, error)


class Leases:
    """The leases of a run, as the attempt that prunes sees them.

    Args:
        run: the run.
        clock: returns monotonic seconds.
    """

    def __init__(self, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._seen: dict[str, tuple[bytes, float]] = {}
        """The content of each lease, and when this content was first seen."""

    def held(self, attempt: int, step: int) -> bool:
        """Whether a checkpoint is being read. A lease that has expired is removed."""
        name = self._run.lease(attempt, step)
        content = self._run.store.read(name)
        if content is None:
            self._seen.pop(name, None)
            return False
        previous, since = self._seen.get(name, (None, 0.0))
        if content != previous:
            self._seen[name] = content, self._clock()
            return True
        if self._clock() - since < EXPIRY:
            return True
        self._run.store.remove_tree(name)
        del self._seen[name]
        return False

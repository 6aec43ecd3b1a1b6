"""Whether an attempt lives, whatever the clocks of its machine and of this one say."""

import time
from collections.abc import Callable

from ardm.store.run_directory import Run

STALE = 20.0
"""Seconds of silence after which an attempt that has not ended is taken for dead, unless its beats
are so far apart that this is no silence yet."""

FRESH = 5.0
"""Seconds that two clocks may differ by. An attempt that wrote this short a time ago lives."""


BEATS_MISSED = 2.5
"""Beats whose absence is a silence."""


def stale_s(beat_s: float) -> float:
    """Seconds of silence after which an attempt is taken for dead.

    Args:
        beat_s: seconds between its beats; 0 if they are not known.
    """
    return max(STALE, BEATS_MISSED * beat_s)


def silence(
    run: Run,
    attempt: int,
    written: float,
    now: float,
    stale: float = STALE,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Seconds since an attempt wrote its progress.

    Where the two clocks agree that it has just written, they are believed. Else the store's own
    clock says how old the progress is; and where the reader may not write, a change between two
    looks at it.

    Args:
        run: the run.
        attempt: its number.
        written: when it wrote, by the clock of its machine, in seconds since 1970.
        now: by the clock of this one.
        stale: seconds of silence after which it is taken for dead.
        sleep: for so many seconds.
        clock: monotonic seconds.
    """
    name = run.progress(attempt)
    if 0 <= now - written < FRESH:
        return now - written
    before = run.store.read(name)
    if before is None:
        return max(now - written, 0.0)
    try:
        return max(run.store.age(name), 0.0)
    except Exception:  # every file system has errors of its own, for one who may only read
        begin = clock()
    while clock() - begin < stale:
        sleep(1.0)
        if run.store.read(name) != before:
            return 0.0
    return max(now - written, stale)

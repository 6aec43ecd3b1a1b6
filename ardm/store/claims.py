"""Claims of attempts, which are the fencing tokens, and whether an attempt is still alive."""

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from ardm.store.run_directory import Run

SETTLING = 1.0
"""Seconds to wait before a claim is read back, where files cannot be created exclusively."""


STALE = 20.0
"""Seconds without a heartbeat after which an attempt that has not ended is considered dead; longer
if its heartbeats are far apart (`stale_s`)."""

FRESH = 5.0
"""An attempt whose last heartbeat is more recent than this is alive (seconds). The clocks of two
machines may differ by as much."""

BEATS_MISSED = 2.5
"""An attempt is considered dead after this many intervals without a heartbeat."""


def claim(run: Run, metadata: Mapping[str, Any]) -> int:
    """Claim the next attempt of a run.

    Claim before you look for the newest checkpoint: once the claim exists, no older attempt begins
    another save.

    Args:
        run: the run.
        metadata: who claims, written into the claim. With a unique `token` in it, a caller that
            tries again recognizes its own claim, of which only the store's answer was lost.

    Returns:
        The attempt's number. Simultaneous claims get different numbers, and the largest number
        holds the run.
    """
    data = json.dumps(dict(metadata), indent=1).encode()
    number = max(_used(run), default=0) + 1
    if number > 1 and _is_mine(run, number - 1, metadata):
        return number - 1
    while True:
        try:
            run.store.create(run.claim(number), data)
        except FileExistsError:
            if _is_mine(run, number, metadata):
                return number
        else:
            if run.store.abilities.exclusive:
                return number
            # Another process may have created it as well; the last one to write holds it.
            time.sleep(SETTLING)
            if _is_mine(run, number, metadata):
                return number
        number += 1


def _used(run: Run) -> list[int]:
    """Numbers of the attempts that have any file in the run.

    A claim may be lost while the attempt's other files remain, and a new attempt must not mix its
    own with them.
    """
    directories = run.attempts_dir, run.checkpoints_dir, run.events_dir, run.progress_dir
    names = [name for listing in run.store.names_of(directories).values() for name in listing]
    matches = (re.fullmatch(r"(\d{6,9})(\.json)?", name) for name in names)
    return [int(match.group(1)) for match in matches if match]


def _is_mine(run: Run, number: int, metadata: Mapping[str, Any]) -> bool:
    if "token" not in metadata:
        return False
    return run.read_claim(number).get("token") == metadata["token"]


def newer(run: Run, number: int, token: str | None = None) -> int | None:
    """The number of a newer attempt on the run, if there is one.

    Claims are numbered without gaps. Where listings cost money, only the next number is looked up
    first.

    Args:
        run: the run.
        number: number of an attempt.
        token: token in the claim of that attempt. Where files cannot be created exclusively,
            another process may have overwritten the claim, and then holds the run under the same
            number.
    """
    if token and not run.store.abilities.exclusive:
        holder = run.read_claim(number).get("token", token)
        if holder != token:
            return number
    if not run.store.is_local and not run.store.exists(run.claim(number + 1)):
        return None
    newest = max(run.attempts(), default=number)
    return newest if newest > number else None


def stale_s(beat_s: float) -> float:
    """Seconds without a heartbeat after which an attempt is considered dead.

    Args:
        beat_s: seconds between two heartbeats of the attempt; 0 if unknown.
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
    """Seconds since an attempt last wrote its progress.

    If the clocks of both machines say that it has just written, they are believed. Otherwise the
    age of the progress file is taken by the store's own clock. If the reader may not write, so that
    this clock cannot be read, the file is polled for a change.

    Args:
        run: the run.
        attempt: the attempt's number.
        written: time of the attempt's last write, by its machine's clock (seconds since 1970).
        now: the time by this machine's clock (seconds since 1970).
        stale: seconds without a write after which the attempt is considered dead.
        sleep: waits for a number of seconds.
        clock: returns monotonic seconds.
    """
    name = run.progress(attempt)
    if 0 <= now - written < FRESH:
        return now - written
    before = run.store.read(name)
    if before is None:
        return max(now - written, 0.0)
    try:
        return max(run.store.age(name), 0.0)
    except Exception:  # file systems differ in the error that a read-only user gets
        begin = clock()
    while clock() - begin < stale:
        sleep(1.0)
        if run.store.read(name) != before:
            return 0.0
    return max(now - written, stale)

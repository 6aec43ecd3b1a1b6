"""Attempts: the claim, which is the fencing token, and whether the process that made it lives."""

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from ardm.store.run_directory import Run

SETTLING = 1.0
"""Seconds after which a claim is read back where files cannot be created exclusively."""


STALE = 20.0
"""Seconds of silence after which an attempt that has not ended is taken for dead, unless its beats
are so far apart that this is no silence yet."""

FRESH = 5.0
"""Seconds that two clocks may differ by. An attempt that wrote this short a time ago lives."""

BEATS_MISSED = 2.5
"""Beats whose absence is a silence."""


def claim(run: Run, about: Mapping[str, Any]) -> int:
    """Claim the next attempt of a run.

    The claim comes before the newest checkpoint is looked for: from here on an older attempt does
    not begin another save.

    Args:
        run: the run.
        about: who claims; written into the claim. A `token` of its own tells a claim that was
            made, and of which only the store's answer was lost, from somebody else's.

    Returns:
        The attempt's number; of claims made at the same instant each gets its own, and the larger
        number holds the run.
    """
    data = json.dumps(dict(about), indent=1).encode()
    number = max(_used(run), default=0) + 1
    if number > 1 and _is_mine(run, number - 1, about):
        return number - 1
    while True:
        try:
            run.store.create(run.claim(number), data)
        except FileExistsError:
            if _is_mine(run, number, about):
                return number
        else:
            if run.store.abilities.exclusive:
                return number
            # Somebody else may have created it, too, and the last one to write has it.
            time.sleep(SETTLING)
            if _is_mine(run, number, about):
                return number
        number += 1


def _used(run: Run) -> list[int]:
    """Numbers of attempts of which something is left.

    A claim may be lost while what its attempt has written is not, which nobody may mix with.
    """
    directories = run.attempts_dir, run.checkpoints_dir, run.events_dir, run.progress_dir
    names = [name for listed in run.store.names_of(directories).values() for name in listed]
    found = (re.fullmatch(r"(\d{6,9})(\.json)?", name) for name in names)
    return [int(match.group(1)) for match in found if match]


def _is_mine(run: Run, number: int, about: Mapping[str, Any]) -> bool:
    if "token" not in about:
        return False
    return run.read_claim(number).get("token") == about["token"]


def newer(run: Run, number: int, token: str | None = None) -> int | None:
    """The number of a newer attempt on the run, if there is one.

    Claims follow each other without a gap, so where listings cost money the next number is looked
    for first.

    Args:
        run: the run.
        number: of an attempt.
        token: in the claim of that attempt. Where files cannot be created exclusively, somebody
            else may have written a claim of the same number over it, and that one holds the run.
    """
    if token and not run.store.abilities.exclusive:
        held_by = run.read_claim(number).get("token", token)
        if held_by != token:
            return number
    if not run.store.is_local and not run.store.exists(run.claim(number + 1)):
        return None
    newest = max(run.attempts(), default=number)
    return newest if newest > number else None


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

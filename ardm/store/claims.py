"""Attempts: one process group's life on a run. The claim is the fencing token."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from ardm.store.run_directory import Run

SETTLING = 1.0
"""Seconds after which a claim is read back where files cannot be created exclusively."""


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
    return (run.store.read_record(run.claim(number)) or {}).get("token") == about["token"]


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
        held_by = (run.store.read_record(run.claim(number)) or {}).get("token", token)
        if held_by != token:
            return number
    if not run.store.is_local and not run.store.exists(run.claim(number + 1)):
        return None
    newest = max(run.attempts(), default=number)
    return newest if newest > number else None

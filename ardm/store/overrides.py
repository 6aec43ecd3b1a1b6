"""Overrides: the points at which a run went on with another spec or other data (`--override`).

Each override begins a new generation of the run. A worker of an older generation may still save a
later step than the new attempts have reached; its checkpoints must not be preferred to theirs.
"""

import json
import time
from collections.abc import Sequence

from ardm.store.run_directory import Run


def record(run: Run, changed: Sequence[str]) -> None:
    """Record that attempts from now on may train something else.

    Args:
        run: the run.
        changed: the differences, as sentences for the user.
    """
    after = run.newest_attempt()
    metadata = {"time": round(time.time(), 3), "after_attempt": after, "changed": list(changed)}
    number = len(run.store.names(run.overrides_dir))
    while True:
        number += 1
        try:
            run.store.create(run.override(number), json.dumps(metadata, indent=1).encode())
            return
        except FileExistsError:
            continue


def boundaries(run: Run) -> list[int]:
    """The number of the newest attempt at the time of each override, ascending."""
    attempts = []
    for name in run.store.names(run.overrides_dir):
        record = run.store.read_record(f"{run.overrides_dir}/{name}") or {}
        if isinstance(after := record.get("after_attempt"), int):
            attempts.append(after)
    return sorted(attempts)


def generation(attempt: int, boundaries: Sequence[int]) -> int:
    """The generation of an attempt: the number of overrides before it."""
    return sum(after < attempt for after in boundaries)

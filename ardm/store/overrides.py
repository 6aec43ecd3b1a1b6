"""The moments at which a run went on with another spec, or with other data (`--override`).

What attempts trained before such a moment belongs to an older generation of the run. A worker that
still trains the old spec may save a later step than the new attempts have reached; its checkpoints
must not win over theirs.
"""

import json
import time
from collections.abc import Sequence

from ardm.store.run_directory import Run


def record(run: Run, changed: Sequence[str]) -> None:
    """Note that attempts from now on may train something else.

    Args:
        run: the run.
        changed: the differences, for people.
    """
    after = run.newest_attempt()
    about = {"time": round(time.time(), 3), "after_attempt": after, "changed": list(changed)}
    number = len(run.store.names(run.overrides_dir))
    while True:
        number += 1
        try:
            run.store.create(run.override(number), json.dumps(about, indent=1).encode())
            return
        except FileExistsError:
            continue


def boundaries(run: Run) -> list[int]:
    """For each override, the newest attempt at that time; ascending."""
    found = []
    for name in run.store.names(run.overrides_dir):
        about = run.store.read_record(f"{run.overrides_dir}/{name}") or {}
        if isinstance(after := about.get("after_attempt"), int):
            found.append(after)
    return sorted(found)


def generation(attempt: int, boundaries: Sequence[int]) -> int:
    """How many overrides came before an attempt."""
    return sum(after < attempt for after in boundaries)

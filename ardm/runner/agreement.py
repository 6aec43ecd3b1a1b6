"""Agreement before the first step: of the workers with each other, and of the data with the run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ardm.checkpoint.checkpoints import Checkpoint
from ardm.errors import InputError
from ardm.events import event_log
from ardm.runner.environment import Environment, changes
from ardm.store import overrides
from ardm.store.run_directory import Run

_LONGEST = 1000
"""Characters of a part of an environment in a message between workers; of a longer one the digest
is sent."""


def brief(environment: Environment) -> Environment:
    """An environment that fits into a message between workers, whatever it holds."""
    return {key: _brief(value) for key, value in environment.items()}


def differences(environments: Sequence[Mapping[str, Any]]) -> list[str]:
    """How the workers' environments differ from that of rank 0, one line each.

    Args:
        environments: in the order of the ranks.
    """
    return [
        f"worker {rank} differs from worker 0 in {change.what}: {change.new}, not {change.old}"
        for rank, other in enumerate(environments)
        for some in changes(environments[0], other).values()
        for change in some
    ]


def require_one_data_set(environments: Sequence[Mapping[str, Any]]) -> None:
    """Refuse workers that have read different data.

    Args:
        environments: in the order of the ranks; one without `data` has told of its failure itself.

    Raises:
        InputError: the same one on all workers.
    """
    digests = {rank: one["data"] for rank, one in enumerate(environments) if "data" in one}
    if len(set(digests.values())) > 1:
        listed = ", ".join(f"worker {rank}: {data[:12]}" for rank, data in digests.items())
        raise InputError(
            f"the workers have read different data (SHA-256 {listed}). Expected the same data on "
            "all machines; make them equal and submit the run again."
        )


def require_data_of_run(place: Checkpoint, metadata: Mapping[str, Any], data: str) -> str | None:
    """Refuse to go on with other data than a checkpoint was trained on.

    Args:
        place: the checkpoint.
        metadata: of the checkpoint.
        data: `Dataset.sha256` of the data that have been read now.

    Returns:
        None if they are the same, or nothing is known; the old digest if they differ and a later
        `--override` allows it.

    Raises:
        InputError: they differ.
    """
    old = (metadata.get("environment") or {}).get("data") or _data_at_the_start(place.run)
    if old is None or old == data:
        return None
    if any(newest >= place.attempt for newest in overrides.boundaries(place.run)):
        return old
    raise InputError(
        f"run {place.run.name} was trained on other data up to step {place.step}: expected data "
        f"with SHA-256 {old[:12]}, but those of the job file have {data[:12]} now. Put the old "
        "data back, start afresh under another name (--run), or go on with the new data "
        "(--override)."
    )


def _data_at_the_start(run: Run) -> str | None:
    """The digest of the data that the run's first attempt to train began with.

    Checkpoints of earlier versions do not name their data.
    """
    for number in run.attempts():
        event = event_log.last(event_log.read(run, number), "started")
        if event:
            found: str | None = event.get("data_sha256")
            return found
    return None


def _brief(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True)
    return value if len(text) <= _LONGEST else hashlib.sha256(text.encode()).hexdigest()[:16]

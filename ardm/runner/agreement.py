"""What must agree before the first step: the workers, the run's data, and a changed job."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic import ValidationError

from ardm.checkpoint.checkpoints import Checkpoint
from ardm.errors import InputError, NotFound, SpecConflict
from ardm.events import event_log, kinds
from ardm.job.spec import JobSpec
from ardm.runner.environment import Environment, changes
from ardm.store import overrides, registry
from ardm.store.run_directory import Run
from ardm.training.config import TrainingConfig

_LONGEST = 1000
"""Characters of a part of an environment in a message between workers; of a longer one the digest
is sent."""


class RateChange(NamedTuple):
    """The learning rate after a number of steps, before and after the section was changed."""

    step: int
    old: float
    new: float

    def __str__(self) -> str:
        return (
            f"the learning rate jumps from {self.old:.4g} to {self.new:.4g} after step "
            f"{self.step}: `training` is not what it was before"
        )


def rate_change(spec_before: Any, config: TrainingConfig, step: int) -> RateChange | None:
    """The jump of the learning rate at the step from which a run continues.

    Args:
        spec_before: the spec in the checkpoint, as JSON; anything else counts as no change.
        config: the new `training` section.
        step: number of steps done.

    Returns:
        The rates before and after; None if they are equal.
    """
    # Imported on use: JAX, which `ardm submit` can do without.
    from ardm.training.optimizer import schedule

    section = spec_before.get("training") if isinstance(spec_before, dict) else None
    try:
        before = TrainingConfig.model_validate_json(json.dumps(section))
    except ValidationError:
        return None
    if before == config:
        return None
    old, new = (float(schedule(one)(step)) for one in (before, config))
    return RateChange(step, old, new) if old != new else None


def foreseen(run: Run, spec: JobSpec) -> RateChange | None:
    """The jump that is to come where a spec replaces that of a run, before it does."""
    try:
        before = registry.read_spec(run)
    except (InputError, NotFound):
        return None
    if before.training == spec.training:
        return None
    # Their import takes seconds.
    from ardm.checkpoint import checkpoints

    newest = checkpoints.committed(run)[:1]
    as_json = before.model_dump(mode="json")
    return rate_change(as_json, spec.training, newest[0].step) if newest else None


def require_steps_left(run: Run, spec: JobSpec) -> None:
    """Refuse fewer steps than a run has done, before its spec is replaced.

    Raises:
        SpecConflict: its newest checkpoint is of a later step than the last one of the spec.
    """
    if not run.store.exists(run.job_file):
        return
    # Where the frozen spec is unreadable, the checkpoints alone tell.
    with suppress(InputError):
        if spec.training.steps >= registry.read_spec(run).training.steps:
            return
    # Their import takes seconds.
    from ardm.checkpoint import checkpoints

    for checkpoint in checkpoints.committed(run)[:1]:
        require_reachable(run, checkpoint.step, spec)


def require_reachable(run: Run, step: int, spec: JobSpec) -> None:
    """Refuse a last step that lies before the step that was done.

    Raises:
        SpecConflict: it does.
    """
    if step > spec.training.steps:
        raise SpecConflict(
            f"run {run.name} has done {step} steps, which is more than "
            f"training.steps={spec.training.steps}. Give {step} steps or more, or start afresh "
            "under another name (--run)."
        )


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
        environments: in the order of the ranks; one without `data` reports its failure itself.

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
        event = kinds.last(event_log.read(run, number), kinds.Started)
        if event:
            return event.data_sha256
    return None


def _brief(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True)
    return value if len(text) <= _LONGEST else hashlib.sha256(text.encode()).hexdigest()[:16]

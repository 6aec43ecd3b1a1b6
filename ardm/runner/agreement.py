"""Checks before the first step: the workers agree, the data are the run's, the job fits the run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from ardm.errors import InputError, NotFound, SpecConflict
from ardm.events import event_log, kinds
from ardm.job.spec import JobSpec
from ardm.store import overrides, registry
from ardm.store.run_directory import Run
from ardm.training.config import TrainingConfig

if TYPE_CHECKING:  # with it come JAX and Orbax, which `ardm submit` can do without
    from ardm.checkpoint.checkpoints import Checkpoint
    from ardm.runner.environment import Environment

_LONGEST = 1000
"""Longest part of an environment, in characters of JSON, that is sent to the other workers; of a
longer part only a digest is sent."""


class RateChange(NamedTuple):
    """The learning rate at a step, by the old and by the new `training` section."""

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
        spec_before: the spec in the checkpoint, as JSON; if it is no valid spec, no change is
            reported.
        config: the new `training` section.
        step: the number of finished steps.

    Returns:
        The old and the new rate; None if they are equal.
    """
    # Imported here since it imports JAX, which `ardm submit` does not need.
    from ardm.training.optimizer import schedule

    section = spec_before.get("training") if isinstance(spec_before, dict) else None
    try:
        before = TrainingConfig.model_validate_json(json.dumps(section))
    except ValidationError:
        return None
    if before == config:
        return None
    old, new = (float(schedule(section)(step)) for section in (before, config))
    return RateChange(step, old, new) if old != new else None


def upcoming_rate_change(run: Run, spec: JobSpec) -> RateChange | None:
    """The jump of the learning rate that replacing the spec of a run by this one would cause."""
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
    """Before the spec of a run is replaced, refuse one with fewer steps than the run has done.

    Raises:
        SpecConflict: the newest checkpoint is of a later step than the last step of the spec.
    """
    if not run.store.exists(run.job_file):
        return
    # If the frozen spec is unreadable, the checkpoints still show how many steps were done.
    with suppress(InputError):
        if spec.training.steps >= registry.read_spec(run).training.steps:
            return
    # Their import takes seconds.
    from ardm.checkpoint import checkpoints

    for checkpoint in checkpoints.committed(run)[:1]:
        require_reachable(run, checkpoint.step, spec)


def require_reachable(run: Run, step: int, spec: JobSpec) -> None:
    """Refuse a spec with fewer steps than the run has done.

    Raises:
        SpecConflict: the spec has fewer steps.
    """
    if step > spec.training.steps:
        raise SpecConflict(
            f"run {run.name} has done {step} steps, which is more than "
            f"training.steps={spec.training.steps}. Give {step} steps or more, or start afresh "
            "under another name (--run)."
        )


def brief(environment: "Environment") -> "Environment":
    """An environment shortened so that it fits into a message between workers."""
    return {key: _brief(value) for key, value in environment.items()}


def differences(environments: Sequence[Mapping[str, Any]]) -> list[str]:
    """How the workers' environments differ from that of rank 0, one line each.

    Args:
        environments: the environments of all workers, in the order of their ranks.
    """
    # Imported here since it imports JAX.
    from ardm.runner.environment import changes

    return [
        f"worker {rank} differs from worker 0 in {change.what}: {change.new}, not {change.old}"
        for rank, other in enumerate(environments)
        for of_key in changes(environments[0], other).values()
        for change in of_key
    ]


def require_one_data_set(environments: Sequence[Mapping[str, Any]]) -> None:
    """Refuse workers that have read different data.

    Args:
        environments: the environments of all workers, in the order of their ranks. One without
            `data` is passed over: its worker could not read the data and reports that itself.

    Raises:
        InputError: the data differ; the error is the same on all workers.
    """
    digests = {rank: env["data"] for rank, env in enumerate(environments) if "data" in env}
    if len(set(digests.values())) > 1:
        listed = ", ".join(f"worker {rank}: {data[:12]}" for rank, data in digests.items())
        raise InputError(
            f"the workers have read different data (SHA-256 {listed}). Expected the same data on "
            "all machines; make them equal and submit the run again."
        )


def require_data_of_run(
    checkpoint: "Checkpoint", metadata: Mapping[str, Any], data: str
) -> str | None:
    """Refuse to continue with other data than a checkpoint was trained on.

    Args:
        checkpoint: the checkpoint.
        metadata: the metadata of the checkpoint.
        data: `Dataset.sha256` of the data that this attempt has read.

    Returns:
        None if the data are the same, or the old ones are not known; the old digest if they differ
        and an `--override` after the checkpoint allows it.

    Raises:
        InputError: the data differ, and nothing allows it.
    """
    old = (metadata.get("environment") or {}).get("data") or _data_at_the_start(checkpoint.run)
    if old is None or old == data:
        return None
    if any(newest >= checkpoint.attempt for newest in overrides.boundaries(checkpoint.run)):
        return old
    raise InputError(
        f"run {checkpoint.run.name} was trained on other data up to step {checkpoint.step}: "
        f"expected data with SHA-256 {old[:12]}, but those of the job file have {data[:12]} now. "
        "Put the old data back, start afresh under another name (--run), or go on with the new "
        "data (--override)."
    )


def _data_at_the_start(run: Run) -> str | None:
    """The digest of the data that the run was started with.

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

"""Checks for a run that continues with a changed `training` section (`--override`)."""

import json
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic import ValidationError

from ardm.errors import InputError, NotFound, SpecConflict
from ardm.job.spec import JobSpec
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.training.config import TrainingConfig


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

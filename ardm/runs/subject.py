"""What the commands that use a model work on: a checkpoint, of a run or a pulled one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ardm.data.config import describe
from ardm.errors import NotFound
from ardm.model.build import Model, Params, build
from ardm.runs import catalogue, restore, state_files
from ardm.runs.checkpoints import Checkpoint
from ardm.runs.layout import Run
from ardm.runs.pull import NOTE
from ardm.runs.spec import JobSpec
from ardm.runs.spec import load as load_spec
from ardm.runs.store import Store
from ardm.training.state import template


@dataclass(frozen=True)
class Subject:
    """A verified checkpoint, ready for use.

    Attributes:
        name: of the run.
        spec: that it was trained by.
        model: what the parameters belong to.
        ema: the parameters to use.
        L: what the training tracked for each generation step, in nats per dimension.
        attempt: that wrote the checkpoint.
        step: training steps done.
        digest: of the whole state.
        home: where the checkpoint lies: a run, or the directory that it was pulled to.
    """

    name: str
    spec: JobSpec
    model: Model
    ema: Params
    L: Float[np.ndarray, " steps"]
    attempt: int
    step: int
    digest: str
    home: Run | Path


def open_subject(target: str, store: Store, warn: Callable[[str], None]) -> Subject:
    """Load the newest verified checkpoint.

    Args:
        target: a pulled directory, or the name of a run.
        store: where runs are looked for.
        warn: told of each checkpoint that was passed over.

    Raises:
        NotFound: no such run, or no checkpoint of it verifies.
    """
    folder = Path(target)
    if (folder / NOTE).is_file():
        return _pulled(folder)
    run = Run(store, target)
    spec = catalogue.read_spec(run)
    model = build(spec.model, *describe(spec.data))

    def skipped(checkpoint: Checkpoint, reason: Exception) -> None:
        warn(f"checkpoint of step {checkpoint.step} is passed over: {reason}")

    found = restore.newest_verified(run, template(model, spec.training), skipped)
    if found is None:
        raise NotFound(f"run {run.name} has no checkpoint that can be used yet")
    place, state, metadata = found
    return Subject(
        run.name,
        spec,
        model,
        model.unravel(state.ema),
        np.asarray(state.kl.nats),
        place.attempt,
        place.step,
        metadata["digest"],
        run,
    )


def _pulled(folder: Path) -> Subject:
    try:
        note = json.loads((folder / NOTE).read_text())
        spec = load_spec(folder / "job.yaml")
        model = build(spec.model, tuple(note["shape"]), note["classes"])
        like = template(model, spec.training)
        state, metadata = state_files.load(folder.resolve() / "checkpoint", like)
        return Subject(
            note["run"],
            spec,
            model,
            model.unravel(state.ema),
            np.asarray(state.kl.nats),
            note["attempt"],
            note["step"],
            metadata["digest"],
            folder,
        )
    except (state_files.Damaged, OSError, ValueError, KeyError, TypeError) as error:
        raise NotFound(f"the checkpoint in {folder}: {error}; pull it again") from error

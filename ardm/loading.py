"""Loads a trained model from the newest verified checkpoint of a run, or from a pulled one."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ardm.checkpoint import restore, serialization
from ardm.checkpoint.checkpoints import Checkpoint
from ardm.checkpoint.pull import NOTE
from ardm.data.config import describe
from ardm.errors import NotFound
from ardm.job.spec import JobSpec, load_frozen
from ardm.model.build import Model, build
from ardm.pretrained import Pretrained
from ardm.runner.compilation import own_cache
from ardm.store import registry
from ardm.store.run_directory import Run, shared_cache
from ardm.store.store import Store
from ardm.training.devices import cores_here, use_cores
from ardm.training.state import template

log = logging.getLogger(__name__)


def load(target: str | Path, store: Store, warn: Callable[[str], None] = log.warning) -> Pretrained:
    """Load the newest verified checkpoint.

    Args:
        target: a pulled directory, or the name of a run.
        store: the store of the run.
        warn: called with a sentence for each checkpoint that is passed over.

    Raises:
        NotFound: there is no such run, or none of its checkpoints verifies.
    """
    use_cores(cores_here())
    own_cache()
    cache = shared_cache(store, "data")
    if (Path(target) / NOTE).is_file():
        return _pulled(Path(target), cache)
    run = Run(store, str(target))
    spec = registry.read_spec(run)
    model = build(spec.model, *describe(spec.data))

    def skipped(checkpoint: Checkpoint, reason: Exception) -> None:
        warn(f"checkpoint of step {checkpoint.step} is passed over: {reason}")

    newest = restore.newest_verified(run, template(model, spec.training), skipped)
    if newest is None:
        raise NotFound(f"run {run.name} has no checkpoint that can be used yet")
    checkpoint, state, metadata = newest
    origin = {"name": run.name, "attempt": checkpoint.attempt, "step": checkpoint.step}
    return _pretrained(origin, spec, model, state, metadata, run, cache)


def _pulled(folder: Path, cache: str | None) -> Pretrained:
    try:
        note = json.loads((folder / NOTE).read_text())
        spec = load_frozen(folder / "job.yaml")
        model = build(spec.model, tuple(note["shape"]), note["classes"])
        like = template(model, spec.training)
        state, metadata = serialization.load(folder.resolve() / "checkpoint", like)
        origin = {"name": note["run"], "attempt": note["attempt"], "step": note["step"]}
        return _pretrained(origin, spec, model, state, metadata, folder, cache)
    except (serialization.Damaged, OSError, ValueError, KeyError, TypeError) as error:
        raise NotFound(f"the checkpoint in {folder}: {error}; pull it again") from error


def _pretrained(
    origin: dict[str, Any],
    spec: JobSpec,
    model: Model,
    state: Any,
    metadata: dict[str, Any],
    home: Run | Path,
    cache: str | None,
) -> Pretrained:
    return Pretrained(
        **origin,
        spec=spec,
        model=model,
        params=model.unravel(state.ema),
        tracked_losses=np.asarray(state.kl.nats),
        digest=metadata["digest"],
        home=home,
        cache=cache,
    )

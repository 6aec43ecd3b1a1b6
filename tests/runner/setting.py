"""What the tests of this folder share: a tiny job, small states, and a group that does things."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ardm.checkpoint import checkpoints
from ardm.checkpoint.digest import digest
from ardm.data.image_folder import measure
from ardm.events import event_log
from ardm.events.events import Event
from ardm.events.kinds import E
from ardm.job.spec import JobSpec, parse
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from ardm.training import kl
from ardm.training.group import Alone
from ardm.training.state import TrainState

JOB = """
job: tiny
seed: 7
model: {net: {patch: 2, channels: 4, multipliers: [1, 1], blocks: 1, attention: [], groups: 2}}
training: {steps: 24, batch_size: 4, grad_shards: 2, warmup: 2, learning_rate: 1e-2}
checkpoint: {interval: 0, keep_last: 3}
evaluation: {every: 1000, images: 16, final_images: 16, samples: 0}
"""

NOW = datetime(2026, 11, 24, 9, 15, tzinfo=UTC)


def tiny_spec(*overrides: str) -> JobSpec:
    return parse(JOB, "tiny.yaml", overrides, measure)


def opened(store_uri: str, name: str = "tiny-1", spec: JobSpec | None = None) -> Run:
    """A new run with its spec frozen."""
    run = Run(Store(store_uri), name)
    registry.open_run(run, spec or tiny_spec(), NOW)
    return run


def small_state(step: int) -> TrainState:
    """A state with every kind of node that a real one has, on the host."""
    params = {
        "net": {"kernel": jnp.arange(12.0).reshape(3, 4) * (step + 1), "bias": jnp.full(4, 0.5)},
        "scale": jnp.float32(step),
        "half": jnp.arange(5, dtype=jnp.bfloat16) + step,
    }
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.constant_schedule(1.0))
    )
    state = TrainState(jnp.int32(step), params, params, optimizer.init(params), kl.init(6, 2))
    return jax.device_get(state)


def like(state: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), np.asarray(x).dtype), state)


def save(run: Run, attempt: int, step: int) -> checkpoints.Checkpoint:
    """A committed checkpoint of the small state of a step."""
    state = small_state(step)
    place = checkpoints.Checkpoint(run, attempt, step)
    metadata = {"digest": digest(state), "step": step, "attempt": attempt, "time": 1000.0 + step}
    checkpoints.save(place, state, metadata)
    return place


def cut_off(run, attempt: int, step: int) -> None:
    """What a save leaves behind whose process was killed in the middle."""
    place = save(run, attempt, step)
    if run.store.is_local:
        there = Path(run.store.path(place.name))
        there.rename(there.with_name(f"{step}.orbax-checkpoint-tmp"))
    else:
        run.store.fs.rm(run.store.path(f"{place.name}/commit_success.txt"))


def files_of(place: checkpoints.Checkpoint) -> dict[str, bytes]:
    """Every file of a checkpoint, by its name in the store."""
    store = place.run.store
    root = store.path(place.name)
    found = store.fs.find(root)
    return {place.name + path.removeprefix(root): store.fs.cat_file(path) for path in found}


def events(run: Run, attempt: int, kind: type[E] = Event) -> list[E]:
    return [event for event in event_log.read(run, attempt) if isinstance(event, kind)]


def newest_digest(run: Run) -> tuple[int, str]:
    """Step and digest of the newest checkpoint, whose content is verified."""
    place = checkpoints.committed(run)[0]
    return place.step, checkpoints.verify(place)["digest"]


class Acting(Alone):
    """A group of one that does something at each step, before the step is finished.

    Args:
        act: called with the number of the step within the attempt, from 1.
    """

    def __init__(self, act: Callable[[int], None]) -> None:
        self._act, self._step = act, 0

    def gather(self, tree):
        self._step += 1
        self._act(self._step)
        return super().gather(tree)

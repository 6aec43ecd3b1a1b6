"""The training loop: a generator of steps. Saving, watching and stopping belong to its caller."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from ardm.data.batches import Batches
from ardm.model.build import Model
from ardm.training.config import TrainingConfig
from ardm.training.group import Group
from ardm.training.state import TrainState, place, template
from ardm.training.step import Metrics, Step


@dataclass(frozen=True)
class Work:
    """What is trained, on what, how, and by whom."""

    model: Model
    config: TrainingConfig
    seed: int
    batches: Batches
    group: Group


class Done(NamedTuple):
    """One finished step."""

    step: int
    """Steps finished in all."""
    state: TrainState
    metrics: Metrics
    flag: int
    """The largest flag that any worker raised; every worker sees the same one at the same step."""


def rehearse(work: Work) -> None:
    """Compile what a step needs, or read it from the compilation cache, before there is a state."""
    step = Step(work.model, work.config, work.seed, work.group)
    like = template(work.model, work.config)
    nothing = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    step.rehearse(place(nothing), work.batches.slice(0, *step.share))


def train(work: Work, state: TrainState, flag: Callable[[], int]) -> Iterator[Done]:
    """Train from a state to the last step.

    The metrics of a step are waited for only after it has been dispatched as a whole, and a step is
    yielded when it is finished, so that what the caller sees has happened.

    Args:
        work: what to do.
        state: where to begin.
        flag: asked once per step; what it returns is made known to all workers.

    Yields:
        Every finished step.
    """
    step = Step(work.model, work.config, work.seed, work.group)
    start, stop = step.share
    first = int(state.step)
    images = work.batches.slice(first, start, stop)
    for number in range(first, work.config.steps):
        state, metrics = step(state, images, flag())
        if number + 1 < work.config.steps:
            # Read while the device works.
            images = work.batches.slice(number + 1, start, stop)
        flags = np.asarray(metrics.flags)
        jax.block_until_ready(state.step)
        yield Done(number + 1, state, metrics, int(flags.max()))

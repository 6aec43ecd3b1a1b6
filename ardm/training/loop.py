"""The training loop: a generator of steps. Saving, watching and stopping belong to its caller."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from ardm.data.batches import Batches
from ardm.errors import Diverged
from ardm.model.build import Model
from ardm.training.config import TrainingConfig
from ardm.training.group import Group
from ardm.training.state import TrainState, place, template
from ardm.training.step import Metrics, Step

MOST_SKIPPED = 100
"""Steps in a row that may be left out; after so many the run has diverged."""


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
    finite: bool
    """False for a step that was left out: the state is the one before, with `step` one higher."""


def warm_up(work: Work) -> None:
    """Compile what a step needs, or read it from the compilation cache, before there is a state."""
    step = Step(work.model, work.config, work.seed, work.group)
    like = template(work.model, work.config)
    nothing = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    step.warm_up(place(nothing), work.batches.slice(0, *step.share))


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

    Raises:
        Diverged: a step is not finite and `on_nonfinite` is `stop`, or `MOST_SKIPPED` steps in a
            row were not. All workers raise it at the same step.
    """
    step = Step(work.model, work.config, work.seed, work.group)
    start, stop = step.share
    first = int(state.step)
    images = work.batches.slice(first, start, stop)
    skipped = 0
    for number in range(first, work.config.steps):
        state, metrics = step(state, images, flag())
        if number + 1 < work.config.steps:
            # Read while the device works.
            images = work.batches.slice(number + 1, start, stop)
        flags = np.asarray(metrics.flags)
        jax.block_until_ready(state.step)
        finite = bool(metrics.finite)
        skipped = 0 if finite else skipped + 1
        if skipped and (work.config.on_nonfinite == "stop" or skipped >= MOST_SKIPPED):
            raise Diverged(_diverged(number + 1, metrics, skipped))
        yield Done(number + 1, state, metrics, int(flags.max()), finite)


def not_finite(metrics: Metrics) -> str:
    """What of a step is not finite, in a few words with the loss and the gradient norm."""
    loss, norm = float(metrics.nelbo_bpd), float(metrics.grad_norm)
    what = "the new state" if np.isfinite([loss, norm]).all() else "the loss or the gradient"
    return f"{what} is not finite (loss {loss:.6g} bits/dim, gradient norm {norm:.6g})"


def _diverged(step: int, metrics: Metrics, skipped: int) -> str:
    """The message of a run that ends for its numbers."""
    change = "lower training.learning_rate or training.clip"
    if skipped > 1:
        return (
            f"step {step}: {not_finite(metrics)}, as in the {skipped - 1} steps before it, which "
            f"were left out. The same job would come to it again: {change} (--set and --override)."
        )
    return (
        f"step {step}: {not_finite(metrics)}. The same job would come to it again: {change}, or "
        "leave such steps out with training.on_nonfinite=skip (--set and --override)."
    )

"""The training loop: a generator of steps. Its caller saves, reports and stops."""

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
"""Number of consecutive left-out steps after which a run counts as diverged."""


@dataclass(frozen=True)
class Work:
    """Everything that training needs: the model, its settings, the data and the workers."""

    model: Model
    config: TrainingConfig
    seed: int
    batches: Batches
    group: Group


class Done(NamedTuple):
    """One finished step."""

    step: int
    """Number of steps finished since the start of the run."""
    state: TrainState
    metrics: Metrics
    flag: int
    """The largest flag of all workers at this step; the same on every worker."""
    finite: bool
    """Whether the step was finite. If not, it was left out: only `state.step` has changed."""


def warm_up(work: Work) -> None:
    """Compile the programs of a step, or read them from the cache, before the state is loaded."""
    step = Step(work.model, work.config, work.seed, work.group)
    shapes = template(work.model, work.config)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    step.warm_up(place(zeros), work.batches.slice(0, *step.share))


def train(work: Work, state: TrainState, flag: Callable[[], int]) -> Iterator[Done]:
    """Train from a state to the last step.

    The loop waits for the metrics of a step only after it has dispatched the whole step, and yields
    a step when it is finished.

    Args:
        work: everything that training needs.
        state: the state to begin with.
        flag: called once per step; all workers receive the number that it returns.

    Yields:
        The finished steps.

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
            # The images are read while the device computes.
            images = work.batches.slice(number + 1, start, stop)
        flags = np.asarray(metrics.flags)
        jax.block_until_ready(state.step)
        finite = bool(metrics.finite)
        skipped = 0 if finite else skipped + 1
        if skipped and (work.config.on_nonfinite == "stop" or skipped >= MOST_SKIPPED):
            raise Diverged(_diverged(number + 1, metrics, skipped))
        yield Done(number + 1, state, metrics, int(flags.max()), finite)


def not_finite(metrics: Metrics) -> str:
    """A phrase that says what is not finite, with the loss and the gradient norm."""
    loss, norm = float(metrics.nelbo_bpd), float(metrics.grad_norm)
    part = "the new state" if np.isfinite([loss, norm]).all() else "the loss or the gradient"
    return f"{part} is not finite (loss {loss:.6g} bits/dim, gradient norm {norm:.6g})"


def _diverged(step: int, metrics: Metrics, skipped: int) -> str:
    """The error message of a run that has diverged."""
    advice = "lower training.learning_rate or training.clip"
    if skipped > 1:
        return (
            f"step {step}: {not_finite(metrics)}, as in the {skipped - 1} steps before it, which "
            f"were left out. The same job would come to it again: {advice} (--set and --override)."
        )
    return (
        f"step {step}: {not_finite(metrics)}. The same job would come to it again: {advice}, or "
        "leave such steps out with training.on_nonfinite=skip (--set and --override)."
    )

"""The training loop: a generator of steps. Its caller saves, reports and stops."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

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

T = TypeVar("T")


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


def train(
    work: Work, state: TrainState, flag: Callable[[], int], ahead: int | None = None
) -> Iterator[Done]:
    """Train from a state to the last step.

    A step is yielded when it is finished. Whoever stops at a step has its state, whatever was
    dispatched after it.

    Args:
        work: everything that training needs.
        state: the state to begin with.
        flag: called once per step, before it is dispatched; all workers receive the number that it
            returns.
        ahead: the number of steps that are dispatched before the loop waits for one, so that the
            device need not wait for Python in between. By default one on a GPU; none on a CPU,
            where the next step would take the cores and delay the answer to a flag.

    Yields:
        The finished steps.

    Raises:
        Diverged: a step is not finite and `on_nonfinite` is `stop`, or `MOST_SKIPPED` steps in a
            row were not. All workers raise it at the same step.
    """
    if ahead is None:
        ahead = 0 if jax.default_backend() == "cpu" else 1
    skipped = 0
    for number, after, metrics in _held_back(_dispatched(work, state, flag), ahead):
        flags = np.asarray(metrics.flags)
        jax.block_until_ready(after.step)
        finite = bool(metrics.finite)
        skipped = 0 if finite else skipped + 1
        if skipped and (work.config.on_nonfinite == "stop" or skipped >= MOST_SKIPPED):
            raise Diverged(_diverged(number, metrics, skipped))
        yield Done(number, after, metrics, int(flags.max()), finite)


def _dispatched(
    work: Work, state: TrainState, flag: Callable[[], int]
) -> Iterator[tuple[int, TrainState, Metrics]]:
    """Dispatch one step after the other, without waiting for any."""
    step = Step(work.model, work.config, work.seed, work.group)
    start, stop = step.share
    first = int(state.step)
    images = work.batches.slice(first, start, stop)
    for number in range(first, work.config.steps):
        state, metrics = step(state, images, flag())
        if number + 1 < work.config.steps:
            # The images are read while the device computes.
            images = work.batches.slice(number + 1, start, stop)
        yield number + 1, state, metrics


def _held_back(items: Iterable[T], count: int) -> Iterator[T]:
    """The items in their order, each after `count` more were taken."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


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

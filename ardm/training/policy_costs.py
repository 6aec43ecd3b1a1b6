"""Policies put to the test: what L promises, and what held-out images say."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.optimize import isotonic_regression

from ardm.model import policy
from ardm.model.build import Params
from ardm.model.objective import Objective
from ardm.training.estimates import Estimate, PerImage, difference, estimate
from ardm.training.evaluate import Evaluator

Kind = Literal["optimal", "uniform", "sequential"]


class Measured(NamedTuple):
    """A policy and what it costs.

    Attributes:
        kind: how it was found; `sequential` is one dimension per call.
        starts: start times of its network calls.
        expected_nats: the bound that L promises, per image.
        expected_bpd: the same in bits per dimension.
        found: the bound on held-out images.
        extra: by how much it exceeds that of one dimension per call, in pairs of estimates with the
            same image, order and t; 0 of the latter itself.
        gain: by how much the uniform policy of the same budget exceeds it, in pairs; None of
            other kinds than optimal.
    """

    kind: Kind
    starts: Int[np.ndarray, " budget"]
    expected_nats: float
    expected_bpd: float
    found: Estimate
    extra: Estimate
    gain: Estimate | None = None

    @property
    def budget(self) -> int:
        """The number of network calls."""
        return len(self.starts)


def measure_steps(
    evaluator: Evaluator,
    params: Params,
    images: UInt8[np.ndarray, "n h w c"],
    passes: int = 1,
) -> Float[np.ndarray, " steps"]:
    """Measure L, the expected negative log-likelihood of one dimension at each generation step.

    L never increases within a stage, for seeing more tells more: an isotonic regression of all
    estimates is the most that they tell without any further assumption.

    Args:
        evaluator: of the model.
        params: the parameters, usually the EMA.
        images: held out, values 0 .. K-1.
        passes: times that each image is evaluated, with other draws than `measure` makes.

    Returns:
        L in nats; of a step that no estimate falls on, between those of its neighbors.
    """
    found = evaluator.per_image(params, images, passes, first=_OTHER_DRAWS)
    return isotonic(found, evaluator.model.objective)


def isotonic(found: PerImage, objective: Objective) -> Float[np.ndarray, " steps"]:
    """The L that fits estimates of the bound best and increases nowhere within a stage."""
    steps = objective.steps
    t = found.t.reshape(-1)
    nats = found.nelbo.reshape(-1).astype(np.float64) / steps
    count = np.bincount(t, minlength=steps)
    mean = np.bincount(t, nats, minlength=steps) / np.maximum(count, 1)
    L = np.empty(steps)
    for first in range(0, steps, objective.D):
        stage = slice(first, first + objective.D)
        seen = np.flatnonzero(count[stage])
        fit = isotonic_regression(
            mean[stage][seen], weights=count[stage][seen].astype(float), increasing=False
        )
        L[stage] = np.interp(np.arange(objective.D), seen, fit.x)
    return L


def measure(
    evaluator: Evaluator,
    params: Params,
    L: Float[np.ndarray, " steps"],
    images: UInt8[np.ndarray, "n h w c"],
    budgets: Sequence[int],
    passes: int = 1,
    tell: Callable[[Measured], None] = lambda measured: None,
) -> list[Measured]:
    """Find the optimal policies and measure them, with the uniform ones for comparison.

    Args:
        evaluator: of the model and the seed of the draws.
        params: the parameters, usually the EMA.
        L: in nats per dimension, from which the policies are found.
        images: held out, values 0 .. K-1.
        budgets: numbers of network calls.
        passes: times that each image is evaluated per policy.
        tell: told of each one when it is measured, `sequential` first.

    Returns:
        Budgets ascending, `optimal` before `uniform`, at the end `sequential`.

    Raises:
        InputError: a budget is out of bounds, or L is not finite.
    """
    objective = evaluator.model.objective
    both = (objective, objective)
    candidates = list(_candidates(L, budgets, objective.stages))
    sequential = evaluator.per_image(params, images, passes)

    def measured(kind: Kind, starts: Int[np.ndarray, " budget"], found: PerImage) -> Measured:
        nats = policy.expected_nelbo(starts, L, objective.stages)
        bpd = nats / (objective.values * np.log(2.0))
        extra = difference(found, sequential, both)
        return Measured(kind, starts, nats, bpd, estimate(found, objective), extra)

    one_by_one = policy.uniform(objective.D, objective.steps, objective.stages)
    last = measured("sequential", one_by_one, sequential)
    tell(last)
    results = []
    for starts, evenly in candidates:
        best, uniform = (
            evaluator.per_image(params, images, passes, policy=chosen)
            for chosen in (starts, evenly)
        )
        gain = difference(uniform, best, both)
        pair = [
            measured("optimal", starts, best)._replace(gain=gain),
            measured("uniform", evenly, uniform),
        ]
        for item in pair:
            tell(item)
        results += pair
    return [*results, last]


_OTHER_DRAWS = 2**20
"""Number of the first pass whose draws no evaluation makes."""


def _candidates(
    L: Float[np.ndarray, " steps"], budgets: Sequence[int], stages: int
) -> Iterator[tuple[Int[np.ndarray, " budget"], Int[np.ndarray, " budget"]]]:
    """The optimal and the uniform policy of every budget; of all steps there is but one policy."""
    D = len(L) // stages
    for budget, starts in policy.optimal(L, budgets, stages).items():
        if budget < len(L):
            yield starts, policy.uniform(D, budget, stages)

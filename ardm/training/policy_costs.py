"""The costs of policies: as L predicts them, and as measured on held-out images."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt

from ardm.model import policy
from ardm.model.build import Params
from ardm.model.objective import Objective
from ardm.training.estimates import Estimate, PerImage, difference, estimate
from ardm.training.evaluate import Evaluator

Kind = Literal["optimal", "uniform", "sequential"]


class Measured(NamedTuple):
    """A policy and what it costs.

    Attributes:
        kind: how the policy was chosen; `sequential` generates one dimension per call.
        starts: start times of its network calls.
        expected_nats: the bound that L predicts, in nats per image.
        expected_bpd: the same in bits per dimension.
        found: the bound that was measured on held-out images.
        extra: difference of `found` from the bound of `sequential`, from pairs of estimates with
            the same image, order and t; 0 for `sequential` itself.
        gain: difference of the uniform policy of the same budget from this one, from such pairs;
            None unless the kind is `optimal`.
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
    images: UInt[np.ndarray, "n h w c"],
    passes: int = 1,
) -> Float[np.ndarray, " steps"]:
    """Measure L, the expected negative log-likelihood of one dimension at each generation step.

    The true L does not increase within a stage, because more visible dimensions make a prediction
    better on average. So an isotonic regression is fitted to the estimates of all steps; it assumes
    nothing else.

    Args:
        evaluator: evaluator of the model.
        params: the parameters, usually the EMA.
        images: held-out images, values 0 .. K-1.
        passes: number of times that each image is evaluated. The draws differ from those of
            `measure`.

    Returns:
        L in nats. At steps without an estimate it is interpolated between neighboring steps.
    """
    estimates = evaluator.per_image(params, images, passes, first=_OTHER_DRAWS)
    return isotonic(estimates, evaluator.model.objective)


def isotonic(estimates: PerImage, objective: Objective) -> Float[np.ndarray, " steps"]:
    """Fit L to estimates of the bound by least squares, non-increasing within every stage."""
    # Imported on use: only some commands need it, and it takes a third of a second.
    from scipy.optimize import isotonic_regression

    steps = objective.steps
    t = estimates.t.reshape(-1)
    nats = estimates.nelbo.reshape(-1).astype(np.float64) / steps
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
    images: UInt[np.ndarray, "n h w c"],
    budgets: Sequence[int],
    passes: int = 1,
    tell: Callable[[Measured], None] = lambda measured: None,
) -> list[Measured]:
    """Find the optimal policy of each budget, and measure it and the uniform one.

    Args:
        evaluator: evaluator of the model; its seed decides the draws.
        params: the parameters, usually the EMA.
        L: nats per dimension at each step, by which the optimal policies are found.
        images: held-out images, values 0 .. K-1.
        budgets: numbers of network calls.
        passes: number of times that each image is evaluated per policy.
        tell: called with each policy when it is measured; `sequential` comes first.

    Returns:
        The policies by ascending budget, `optimal` before `uniform`; `sequential` is the last.

    Raises:
        InputError: a budget is out of bounds, or L is not finite.
    """
    objective = evaluator.model.objective
    both = (objective, objective)
    candidates = list(_candidates(L, budgets, objective.stages))
    sequential = evaluator.per_image(params, images, passes)

    def measured(kind: Kind, starts: Int[np.ndarray, " budget"], estimates: PerImage) -> Measured:
        nats = policy.expected_nelbo(starts, L, objective.stages)
        bpd = nats / (objective.values * np.log(2.0))
        extra = difference(estimates, sequential, both)
        return Measured(kind, starts, nats, bpd, estimate(estimates, objective), extra)

    one_by_one = policy.uniform(objective.D, objective.steps, objective.stages)
    last = measured("sequential", one_by_one, sequential)
    tell(last)
    results = []
    for optimal_starts, uniform_starts in candidates:
        optimal, uniform = (
            evaluator.per_image(params, images, passes, policy=starts)
            for starts in (optimal_starts, uniform_starts)
        )
        gain = difference(uniform, optimal, both)
        pair = [
            measured("optimal", optimal_starts, optimal)._replace(gain=gain),
            measured("uniform", uniform_starts, uniform),
        ]
        for item in pair:
            tell(item)
        results += pair
    return [*results, last]


_OTHER_DRAWS = 2**20
"""Number of the first pass of `measure_steps`; evaluations never reach it, so draws differ."""


def _candidates(
    L: Float[np.ndarray, " steps"], budgets: Sequence[int], stages: int
) -> Iterator[tuple[Int[np.ndarray, " budget"], Int[np.ndarray, " budget"]]]:
    """The optimal and the uniform policy of every budget below the number of steps.

    With as many calls as steps there is only one policy, `sequential`.
    """
    D = len(L) // stages
    for budget, starts in policy.optimal(L, budgets, stages).items():
        if budget < len(L):
            yield starts, policy.uniform(D, budget, stages)

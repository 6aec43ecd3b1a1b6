"""Policies put to the test: what L promises, and what held-out images say."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from ardm.model import policy
from ardm.model.build import Params
from ardm.training.evaluate import Estimate, Evaluator

Kind = Literal["optimal", "uniform", "sequential"]


class Measured(NamedTuple):
    """A policy and what it costs.

    Attributes:
        kind: how it was found; `sequential` is one dimension per call.
        starts: start times of its network calls.
        expected_nats: the bound that the L of training promises, per image.
        expected_bpd: the same in bits per dimension.
        found: the bound on held-out images.
    """

    kind: Kind
    starts: Int[np.ndarray, " budget"]
    expected_nats: float
    expected_bpd: float
    found: Estimate

    @property
    def budget(self) -> int:
        """The number of network calls."""
        return len(self.starts)


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
        evaluator: of the model and the run's seed.
        params: the parameters, usually the EMA.
        L: as tracked in training, in nats per dimension.
        images: held out, values 0 .. K-1.
        budgets: numbers of network calls.
        passes: times that each image is evaluated per policy.
        tell: told of each one when it is measured.

    Returns:
        Budgets ascending, `optimal` before `uniform`, at the end `sequential`.

    Raises:
        InputError: a budget is out of bounds, or L is not finite.
    """
    measured, objective = [], evaluator.model.objective
    for kind, starts in list(_candidates(L, budgets, objective.stages)):
        nats = policy.expected_nelbo(starts, L, objective.stages)
        found = evaluator(params, images, passes, policy=starts)
        bpd = nats / (objective.values * np.log(2.0))
        measured.append(Measured(kind, starts, nats, bpd, found))
        tell(measured[-1])
    return measured


def _candidates(
    L: Float[np.ndarray, " steps"], budgets: Sequence[int], stages: int
) -> Iterator[tuple[Kind, Int[np.ndarray, " budget"]]]:
    D = len(L) // stages
    for budget, starts in policy.optimal(L, budgets, stages).items():
        # With one step per call there is but one policy.
        if budget < len(L):
            yield "optimal", starts
            yield "uniform", policy.uniform(D, budget, stages)
    yield "sequential", policy.uniform(D, len(L), stages)

"""Estimates of the bound where one network call generates several dimensions."""

import numpy as np
from jaxtyping import Array, Int32, Integer, Key
from numpy import ndarray

from ardm.model import draws
from ardm.model.build import Model, Params
from ardm.model.objective import Terms


def padded(policy: Integer[ndarray, " budget"], steps: int) -> Int32[ndarray, " bounds"]:
    """A policy as an array whose length does not tell its budget, so that one program serves all.

    Args:
        policy: start times, ascending, every stage begins with one.
        steps: the number of generation steps, of all stages.

    Returns:
        The start times, and `steps` from there on.
    """
    bounds = np.full(steps + 1, steps, np.int32)
    bounds[: len(policy)] = policy
    return bounds


def evaluate_policy(
    model: Model,
    params: Params,
    x: Integer[Array, "b h w c"],
    bounds: Int32[Array, " bounds"],
    key: Key[Array, ""],
    round_: int | Integer[Array, ""],
    index: Integer[Array, " b"],
    batch: int,
) -> Terms:
    """Estimate the bound of every image under a policy, from one of its n segments each.

    An example gets a segment [l, r), spread antithetically over the batch; with everything before l
    visible, `n * (r - l) * nll_per_dim(l)` is an unbiased estimate of what all segments cost
    together (section 4 of arXiv 2110.02037). Under the policy of one step per call the estimate is
    that of `ardm.model.evaluation.evaluate`, from the same draws.

    Args:
        model: what the parameters belong to.
        params: of the network.
        x: images, values 0 .. K-1.
        bounds: the policy, `padded`.
        key: of the evaluation.
        round_: number of the batch within the evaluation.
        index: of the images in their batch.
        batch: size of the whole batch, over which the segments are spread.

    Returns:
        Estimates per image, in nats; `nelbo` is that under the policy.
    """
    budget = (bounds < model.objective.steps).sum()
    segment = draws.antithetic_times(key, round_, index, batch, budget)
    left, right = bounds[segment], bounds[segment + 1]
    draw = model.objective.draw(key, round_, index, batch, "antithetic")._replace(t=left)
    terms = model.objective.terms(model.bind(params), x, draw)
    return terms._replace(nelbo=budget * (right - left) * terms.nll_per_dim)

"""Estimates of the evidence lower bound, and the exact likelihood in a given order."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int, Int32, Integer, Key, UInt8
from numpy import ndarray

from ardm.model import draws, policy
from ardm.model.build import Model, Params
from ardm.model.objective import Objective

_PLACES = 2**32 - 2
"""Folded in place of an image's index for what all images of a pass share; no index is as large."""


def log_likelihood(
    predict: Callable[..., Float[Array, "b h w ..."]],
    x: UInt8[ndarray, "n h w c"],
    orders: Int[ndarray, "stages h w m"],
    starts: Integer[ndarray, " budget"],
    *,
    objective: Objective,
    end: int | None = None,
    batch: int = 16,
    called: Callable[[], None] = lambda: None,
) -> Float64[ndarray, " n"]:
    """The log-likelihood of images whose dimensions are generated in one order, stage by stage.

    With one step per call it is the sum over t of `log p(x[sigma = t] | x[sigma < t])` (equation 1
    of arXiv 2110.02037), and of Upscale ARDM over all stages; with fewer calls it is what sampling
    by that policy gives an image, for the dimensions of one call are independent. Where the policy
    does not begin at 0 or end at the last step, it is that of the steps between, given all before
    them: the likelihoods of segments that follow each other add up to the whole.

    One compiled program serves every call. It is called from Python, not from `lax.scan`: XLA's
    convolutions on CPU are about 100 times slower inside loops.

    Args:
        predict: `predict(x, mask, t)`; `model.bind(params)` compiles once for all parameters.
        x: images, values 0 .. K-1.
        orders: sigma of all images at each stage, permutations of 0 .. D-1.
        starts: start times of the network calls, ascending; every stage begins with one.
        objective: what the model was trained for.
        end: the step after the last one that counts; default: all count.
        batch: images per call of the network.
        called: called after each call of the network.

    Returns:
        Nats per image, summed in float64.

    Raises:
        InputError: the start times do not ascend, or not below `end`.
    """
    first = int(starts[0]) if len(starts) else 0
    segments = policy.segments(starts, objective.D, first=first, end=end or objective.steps)
    if not isinstance(predict, jax.tree_util.Partial):
        predict = jax.tree_util.Partial(predict)
    sigma = [
        jnp.broadcast_to(jnp.asarray(order, jnp.int32), (batch, *order.shape)) for order in orders
    ]
    found = []
    for first in range(0, len(x), batch):
        # The last batch is filled up, so that there is one program only.
        images = jnp.asarray(x[np.arange(first, first + batch) % len(x)])
        total = np.zeros(batch)
        for left, right in segments:
            order = sigma[int(left) // objective.D]
            total += np.asarray(_segment(predict, objective, images, order, left, right))
            called()
        found.append(total)
    return np.concatenate(found)[: len(x)]


@jax.jit(static_argnames=("objective",))
def _segment(
    predict: jax.tree_util.Partial,
    objective: Objective,
    x: UInt8[Array, "b h w c"],
    sigma: Int[Array, "b h w m"],
    left: Integer[Array, ""],
    right: Integer[Array, ""],
) -> Float[Array, " b"]:
    """Log-likelihood of the dimensions of the segment [left, right), given all before it."""
    t = jnp.full(x.shape[:1], left, jnp.int32)
    stage, within = objective.split(t)
    parameters = predict(x, draws.visible(sigma, within), t)
    log_p = objective.output.log_prob(parameters, objective.target(x, stage))
    segment = draws.revealed(sigma, within, right - left)
    return jnp.where(segment, log_p, 0.0).sum(axis=(1, 2, 3))


class Estimates(NamedTuple):
    """One estimate of the bound per image, in nats, and the generation step that it was given."""

    nelbo: Float[Array, " b"]
    t: Int[Array, " b"]


def places(key: Key[Array, ""], pass_: int, count: int) -> Int32[ndarray, " n"]:
    """Give every image of a set a place on the comb of generation steps: a random permutation.

    Were an image's index its place, the generation step would follow the order of the set. Of a set
    that is sorted by difficulty the easy images would get early steps and the hard ones late steps,
    and no standard error would show what that does to the mean.

    Args:
        key: of the evaluation.
        pass_: number of the pass within the evaluation.
        count: of images.

    Returns:
        A permutation of 0 .. count-1.
    """
    shared = jax.random.fold_in(jax.random.fold_in(key, pass_), _PLACES)
    return np.asarray(jax.random.permutation(shared, count), np.int32)


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


def evaluate(
    model: Model,
    params: Params,
    x: Integer[Array, "b h w c"],
    key: Key[Array, ""],
    pass_: int | Integer[Array, ""],
    index: Integer[Array, " b"],
    place: Integer[Array, " b"],
    count: int,
    bounds: Int32[Array, " bounds"] | None = None,
) -> Estimates:
    """Estimate the bound of every image, without dropout, from one generation step each.

    An image gets an order and a step t, antithetic over its set. One network call that generates
    the segment [l, r) knows at t no more than at l, so the estimate under a policy is that at the
    start l of the segment in which t lies (section 4 of arXiv 2110.02037). Neither the order nor t
    depends on the policy: costs of two policies on the same images are compared in pairs.

    Args:
        model: what the parameters belong to.
        params: of the network.
        x: images, values 0 .. K-1.
        key: of the evaluation.
        pass_: number of the pass within the evaluation; every one draws anew.
        index: of the images in their set.
        place: of the images on the comb, see `places`.
        count: of images in the set, over which the steps are spread.
        bounds: a policy, `padded`; by default one dimension per call.

    Returns:
        Unbiased estimates.
    """
    objective = model.objective
    t = draws.antithetic_times(key, pass_, place, count, objective.steps)
    start = t if bounds is None else bounds[jnp.searchsorted(bounds, t, side="right") - 1]
    draw = objective.draw(key, pass_, index, count, "uniform")._replace(t=start)
    return Estimates(objective.terms(model.bind(params), x, draw).nelbo, t)

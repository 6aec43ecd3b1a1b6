"""Estimates of the evidence lower bound, and the exact likelihood in a given order."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int, Int32, Integer, Key, UInt
from numpy import ndarray

from ardm.model import draws, policy
from ardm.model.build import Model, Params
from ardm.model.objective import Objective

_PLACES = 2**32 - 2
"""Folded into a key in place of an image's index, for the draw that all images of a pass share. No
index is as large."""


def log_likelihood(
    predict: Callable[..., Float[Array, "b h w ..."]],
    x: UInt[ndarray, "n h w c"],
    orders: Int[ndarray, "stages h w m"],
    starts: Integer[ndarray, " budget"],
    *,
    objective: Objective,
    end: int | None = None,
    batch: int = 16,
    called: Callable[[], None] = lambda: None,
) -> Float64[ndarray, " n"]:
    """The exact log-likelihood of images under one generation order, which all images share.

    With one step per call it is the sum over t of `log p(x[sigma = t] | x[sigma < t])` (equation 1
    of arXiv 2110.02037); for Upscale ARDM the sum also runs over the stages. With fewer calls it is
    the log-probability with which sampling by that policy gives the image, because the dimensions
    of one call are independent. If the policy covers only the steps from `starts[0]` to `end`, it
    is the log-likelihood of the dimensions of these steps given all earlier ones. So the results
    for consecutive segments add up to that of the whole image.

    One compiled program serves every call. It is called from Python, not from `lax.scan`: inside
    loops XLA's convolutions on CPU were about 100 times slower with one version of JAX, though not
    with jax 0.10.2.

    Args:
        predict: `predict(x, seen, t)`; `model.bind(params)` compiles once for all parameters.
        x: images, values 0 .. K-1.
        orders: sigma at each stage, a permutation of 0 .. D-1, the same for all images.
        starts: start times of the network calls, ascending; every stage begins with one.
        objective: objective of the model.
        end: one past the last step that is included; default: all steps are.
        batch: images per network call.
        called: a function that is called after each network call.

    Returns:
        Nats per image, summed in float64.

    Raises:
        InputError: the start times do not ascend, or are not below `end`.
    """
    first = int(starts[0]) if len(starts) else 0
    segments = policy.segments(starts, objective.D, first=first, end=end or objective.steps)
    if not isinstance(predict, jax.tree_util.Partial):
        predict = jax.tree_util.Partial(predict)
    sigma = [
        jnp.broadcast_to(jnp.asarray(order, jnp.int32), (batch, *order.shape)) for order in orders
    ]
    log_p = []
    for first in range(0, len(x), batch):
        # The last batch is filled up with repeated images, so that one program serves all batches.
        images = jnp.asarray(x[np.arange(first, first + batch) % len(x)])
        total = np.zeros(batch)
        for left, right in segments:
            order = sigma[int(left) // objective.D]
            total += np.asarray(_segment(predict, objective, images, order, left, right))
            called()
        log_p.append(total)
    return np.concatenate(log_p)[: len(x)]


@jax.jit(static_argnames=("objective",))
def _segment(
    predict: jax.tree_util.Partial,
    objective: Objective,
    x: UInt[Array, "b h w c"],
    sigma: Int[Array, "b h w m"],
    left: Integer[Array, ""],
    right: Integer[Array, ""],
) -> Float[Array, " b"]:
    """Log-likelihood of the dimensions of the segment [left, right), given all earlier ones."""
    t = jnp.full(x.shape[:1], left, jnp.int32)
    stage, within = objective.split(t)
    parameters = predict(x, objective.seen(sigma, within), t)
    log_p = objective.output.log_prob(parameters, objective.target(x, stage))
    segment = draws.revealed(sigma, within, right - left)
    return jnp.where(segment, log_p, 0.0).sum(axis=(1, 2, 3))


class Estimates(NamedTuple):
    """One estimate of the bound per image, in nats, and the generation step t drawn for it."""

    nelbo: Float[Array, " b"]
    t: Int[Array, " b"]


def places(key: Key[Array, ""], pass_: int, count: int) -> Int32[ndarray, " n"]:
    """Assign the images of a set at random to the evenly spaced generation steps of a pass.

    If an image's index decided its generation step, then in a set that is sorted by difficulty easy
    images would get early steps and hard images late steps. That would bias the mean, and the
    standard error would not show it.

    Args:
        key: key of the evaluation.
        pass_: number of the pass within the evaluation.
        count: number of images in the set.

    Returns:
        For each image its place among the steps: a permutation of 0 .. count-1.
    """
    shared = jax.random.fold_in(jax.random.fold_in(key, pass_), _PLACES)
    return np.asarray(jax.random.permutation(shared, count), np.int32)


def padded(policy: Integer[ndarray, " budget"], steps: int) -> Int32[ndarray, " bounds"]:
    """Pad a policy to a length that does not depend on its budget, so that one program serves all.

    Args:
        policy: start times, ascending; every stage begins with one.
        steps: number of generation steps, summed over the stages.

    Returns:
        The start times, followed by as many entries `steps` as fill the array.
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

    Every image gets a random order and a step t; the steps of a set are evenly spaced. A network
    call that generates the segment [l, r) knows only the dimensions before l. So the estimate under
    a policy is the one at l, the start of the segment that contains t (section 4 of arXiv
    2110.02037). Neither the order nor t depends on the policy, so the costs of two policies on the
    same images can be compared in pairs.

    Args:
        model: the model.
        params: parameters of the network.
        x: images, values 0 .. K-1.
        key: key of the evaluation.
        pass_: number of the pass within the evaluation; each pass has draws of its own.
        index: index of each image in its set.
        place: place of each image among the steps, from `places`.
        count: number of images in the set.
        bounds: a policy from `padded`; by default one dimension is generated per call.

    Returns:
        Unbiased estimates, one per image.
    """
    objective = model.objective
    t = draws.antithetic_times(key, pass_, place, count, objective.steps)
    start = t if bounds is None else bounds[jnp.searchsorted(bounds, t, side="right") - 1]
    draw = objective.draw(key, pass_, index, count, "uniform")._replace(t=start)
    return Estimates(objective.terms(model.bind(params), x, draw).nelbo, t)

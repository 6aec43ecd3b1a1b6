"""The exact likelihood of images in a given order, one network call after another."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int, Integer, UInt8
from numpy import ndarray

from ardm.model import draws, policy
from ardm.model.objective import Objective


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

"""The exact likelihood of images in a given order, one network call after another."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int, Integer, UInt8
from numpy import ndarray

from ardm.model import draws, policy
from ardm.model.output import Output


def log_likelihood(
    predict: Callable[..., Float[Array, "b h w ..."]],
    x: UInt8[ndarray, "n h w c"],
    order: Int[ndarray, "h w m"],
    starts: Integer[ndarray, " budget"],
    *,
    output: Output,
    end: int | None = None,
    batch: int = 16,
) -> Float64[ndarray, " n"]:
    """The log-likelihood of images whose dimensions are generated in one order.

    With one step per call it is the sum over t of `log p(x[sigma = t] | x[sigma < t])` (equation 1
    of arXiv 2110.02037); with fewer calls it is what sampling by that policy gives an image, for
    the dimensions of one call are independent. Where the first start is not 0 or `end` not D, it is
    that of the steps between, given all before them: the likelihoods of segments that follow each
    other add up to the whole.

    One compiled program serves every call. It is called from Python, not from `lax.scan`: XLA's
    convolutions on CPU are about 100 times slower inside loops.

    Args:
        predict: `predict(x, mask, t)`; `model.bind(params)` compiles once for all parameters.
        x: images, values 0 .. K-1.
        order: sigma of all images, a permutation of 0 .. D-1.
        starts: start times of the network calls, ascending.
        output: the distribution that `predict` describes.
        end: the step after the last one that counts; default: D.
        batch: images per call of the network.

    Returns:
        Nats per image, summed in float64.

    Raises:
        InputError: the start times do not ascend, or not below `end`.
    """
    end = order.size if end is None else end
    segments = policy.segments(starts, end, known=int(starts[0]) if len(starts) else 0)
    if not isinstance(predict, jax.tree_util.Partial):
        predict = jax.tree_util.Partial(predict)
    sigma = jnp.broadcast_to(jnp.asarray(order, jnp.int32), (batch, *order.shape))
    found = []
    for first in range(0, len(x), batch):
        # The last batch is filled up, so that there is one program only.
        images = jnp.asarray(x[np.arange(first, first + batch) % len(x)])
        terms = [_segment(predict, output, images, sigma, left, right) for left, right in segments]
        found.append(np.stack([np.asarray(term) for term in terms]).astype(np.float64).sum(axis=0))
    return np.concatenate(found)[: len(x)]


@jax.jit(static_argnames=("output",))
def _segment(
    predict: jax.tree_util.Partial,
    output: Output,
    x: UInt8[Array, "b h w c"],
    sigma: Int[Array, "b h w m"],
    left: Integer[Array, ""],
    right: Integer[Array, ""],
) -> Float[Array, " b"]:
    """Log-likelihood of the dimensions of the segment [left, right), given all before it."""
    t = jnp.full(x.shape[:1], left, jnp.int32)
    log_p = output.log_prob(predict(x, draws.visible(sigma, t), t), x)
    return jnp.where((sigma >= left) & (sigma < right), log_p, 0.0).sum(axis=(1, 2, 3))

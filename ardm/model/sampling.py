"""Generation of images in a random order, several dimensions per network call."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int16, Integer, Key, UInt8
from numpy import ndarray

from ardm.errors import InputError
from ardm.model import draws
from ardm.model.output import Output

HIDDEN = -1
"""Stands in a chain for a dimension that is not generated yet."""


class Samples(NamedTuple):
    """Generated images.

    Attributes:
        images: values 0 .. K-1.
        chain: if asked for, all images before the first and after every network call, with
            `HIDDEN` where a dimension is still to come.
    """

    images: UInt8[ndarray, "num h w c"]
    chain: Int16[ndarray, "frames num h w c"] | None


class _State(NamedTuple):
    """Images under generation. The noise of a dimension is fixed before the first call."""

    x: UInt8[Array, "b h w c"]
    sigma: Int[Array, "b h w m"]
    noise: Float[Array, "b ..."]


def sample(
    predict: Callable[..., Float[Array, "b h w ..."]],
    key: Key[Array, ""],
    num: int,
    shape: tuple[int, int, int],
    policy: Integer[ndarray, " budget"],
    *,
    output: Output,
    batch: int = 16,
    temperature: float = 1.0,
    keep_chain: bool = False,
) -> Samples:
    """Generate images, each in an order of its own (algorithm 1 of arXiv 2110.02037).

    One compiled program serves every segment of every policy. It is called from Python, not from
    `lax.scan`: XLA's convolutions on CPU are about 100 times slower inside loops.

    Args:
        predict: `predict(x, mask, t)`; `model.bind(params)` compiles once for all parameters.
        key: image i draws from `fold_in(key, i)` alone, whatever `num` and `batch`.
        num: how many images.
        shape: height, width and channels of one image.
        policy: start times of the network calls, ascending, the first 0.
        output: the distribution that `predict` describes.
        batch: images generated together.
        temperature: divides the logits; below 1 gives likelier images.
        keep_chain: whether to keep the images after every call.

    Returns:
        The images, and the chain if asked for.

    Raises:
        InputError: the policy, the number of images or the temperature is not usable.
    """
    if num < 1 or batch < 1 or not temperature > 0:
        raise InputError(
            f"num {num}, batch {batch}, temperature {temperature}: all must be positive"
        )
    dims = shape[0] * shape[1] * output.mask_channels
    bounds = _bounds(policy, dims)
    if not isinstance(predict, jax.tree_util.Partial):
        predict = jax.tree_util.Partial(predict)
    images, chains = [], []
    for first in range(0, num, batch):
        # The last batch is filled up, so that there is one program only.
        state = _start(key, jnp.arange(first, first + batch), shape, output)
        frames = [_frame(state, 0)] if keep_chain else []
        for left, right in pairwise(bounds):
            state = _reveal(predict, output, state, left, right, np.float32(temperature))
            if keep_chain:
                frames.append(_frame(state, right))
        images.append(np.asarray(state.x))
        chains.append(frames)
    joined = np.concatenate(images)[:num]
    if not keep_chain:
        return Samples(joined, None)
    return Samples(joined, np.concatenate([np.stack(c) for c in chains], axis=1)[:, :num])


def _bounds(policy: Integer[ndarray, " budget"], dims: int) -> list[int]:
    bounds = [*policy.tolist(), dims]
    if bounds[0] != 0 or any(left >= right for left, right in pairwise(bounds)):
        raise InputError(
            f"a policy must ascend from 0 and stay below {dims}, received {bounds[:-1]}"
        )
    return bounds


def _start(
    key: Key[Array, ""],
    index: Int[Array, " b"],
    shape: tuple[int, int, int],
    output: Output,
) -> _State:
    height, width, channels = shape
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
    noise = jax.vmap(lambda k: output.noise(k, height, width))(draws.noise_keys(keys))
    return _State(
        x=jnp.zeros((len(index), height, width, channels), jnp.uint8),
        sigma=draws.orders(keys, (height, width, output.mask_channels)),
        noise=noise,
    )


@jax.jit(static_argnames=("output",))
def _reveal(
    predict: jax.tree_util.Partial,
    output: Output,
    state: _State,
    left: Integer[Array, ""],
    right: Integer[Array, ""],
    temperature: Float[Array, ""],
) -> _State:
    """Generate the dimensions of the segment [left, right) by one network call."""
    t = jnp.full(state.x.shape[:1], left, jnp.int32)
    drawn = output.draw(
        predict(state.x, draws.visible(state.sigma, t), t), state.noise, temperature
    )
    segment = (state.sigma >= left) & (state.sigma < right)
    return state._replace(x=jnp.where(segment, drawn, state.x))


def _frame(state: _State, generated: int) -> Int16[ndarray, "b h w c"]:
    return np.where(np.asarray(state.sigma) < generated, np.asarray(state.x, np.int16), HIDDEN)

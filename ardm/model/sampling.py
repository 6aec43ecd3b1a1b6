"""Generation of images in any order, several dimensions per network call."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int16, Integer, Key, UInt8
from numpy import ndarray

from ardm.errors import InputError
from ardm.model import draws
from ardm.model import policy as policies
from ardm.model.orders import known_first
from ardm.model.output import Output
from ardm.model.samples import HIDDEN, Frames, Samples, in_batches


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
    order: Int[ndarray, "h w m"] | None = None,
    batch: int = 16,
    temperature: float = 1.0,
    keep_chain: bool = False,
) -> Samples:
    """Generate images (algorithm 1 of arXiv 2110.02037).

    One compiled program serves every segment of every policy. It is called from Python, not from
    `lax.scan`: XLA's convolutions on CPU are about 100 times slower inside loops.

    Args:
        predict: `predict(x, mask, t)`; `model.bind(params)` compiles once for all parameters.
        key: image i draws from `fold_in(key, i)` alone, whatever `num` and `batch`.
        num: how many images.
        shape: height, width and channels of one image.
        policy: start times of the network calls, ascending, the first 0.
        output: the distribution that `predict` describes.
        order: sigma of all images, such as `ardm.model.orders.fixed` gives; default: each image
            in a random order of its own.
        batch: images generated together, at most.
        temperature: divides the logits; below 1 gives likelier images.
        keep_chain: whether to keep the images after every call.

    Returns:
        The images, and the chain if asked for.

    Raises:
        InputError: the policy, the number of images or the temperature is not usable.
    """
    if num < 1:
        raise InputError(f"num {num}: expected 1 image or more")
    keys = image_keys(key, jnp.arange(num))
    nothing = np.zeros((*shape[:2], output.mask_channels), bool)
    empty = np.zeros((num, *shape), np.uint8)
    return complete(
        predict,
        keys,
        empty,
        nothing,
        policy,
        output=output,
        order=order,
        batch=batch,
        temperature=temperature,
        keep_chain=keep_chain,
    )


def image_keys(key: Key[Array, ""], index: Int[Array, " num"]) -> Key[Array, " num"]:
    """Give every image a key of its own: `fold_in(key, index)`."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)


def complete(
    predict: Callable[..., Float[Array, "b h w ..."]],
    keys: Key[Array, " num"],
    x: UInt8[ndarray, "num h w c"],
    known: Bool[ndarray, "h w m"],
    policy: Integer[ndarray, " budget"],
    *,
    output: Output,
    order: Int[ndarray, "h w m"] | None = None,
    batch: int = 16,
    temperature: float = 1.0,
    keep_chain: bool = False,
) -> Samples:
    """Generate what is not known of images.

    The known dimensions come first in every order, so that generation begins at the step that is
    their number (section 3 of arXiv 2110.02037); they are given back as they are.

    Args:
        predict: see `sample`.
        keys: of the images; each draws from its own alone.
        x: images, values 0 .. K-1; only what is known of them is looked at.
        known: true where a dimension is given, the same for all images.
        policy: start times of the network calls, ascending, the first the number of dimensions
            known.
        output: see `sample`.
        order: see `sample`.
        batch: images generated together, at most.
        temperature: see `sample`.
        keep_chain: whether to keep the images after every call.

    Returns:
        The images, and the chain if asked for.

    Raises:
        InputError: the policy, the batch or the temperature is not usable.
    """
    if batch < 1:
        raise InputError(f"batch {batch}: expected 1 image or more")
    if not 0 < temperature < np.inf:
        raise InputError(f"temperature {temperature}: expected a positive number, such as 0.9")
    segments = policies.segments(policy, known.size, int(known.sum()))

    def make(
        predict: jax.tree_util.Partial, index: Int[ndarray, " b"], device: jax.Device
    ) -> tuple[Array, Frames]:
        state = jax.device_put(_start(keys[index], x[index], known, order, output), device)
        frames = [_frame(state, int(known.sum()))] if keep_chain else []
        for left, right in segments:
            state = _reveal(predict, output, state, left, right, np.float32(temperature))
            if keep_chain:
                frames.append(_frame(state, int(right)))
        return state.x, frames

    return in_batches(len(x), batch, predict, make)


def _start(
    keys: Key[Array, " b"],
    x: UInt8[ndarray, "b h w c"],
    known: Bool[ndarray, "h w m"],
    order: Int[ndarray, "h w m"] | None,
    output: Output,
) -> _State:
    height, width, _ = known.shape
    noise = jax.vmap(lambda k: output.noise(k, height, width))(draws.noise_keys(keys))
    sigma = (
        draws.orders(keys, known.shape)
        if order is None
        else jnp.broadcast_to(jnp.asarray(order, jnp.int32), (len(x), *known.shape))
    )
    return _State(
        x=jnp.asarray(np.where(known, x, 0), jnp.uint8),
        sigma=known_first(sigma, known),
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

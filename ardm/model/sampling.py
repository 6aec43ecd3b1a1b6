"""Generation of images in any order, several dimensions per network call, stage after stage."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int16, Integer, Key, UInt8
from numpy import ndarray

from ardm.errors import InputError
from ardm.model import draws, policy
from ardm.model.draws import known_first
from ardm.model.objective import Objective

HIDDEN = -1
"""Stands in a chain for a dimension that is not generated yet."""

Frames = list[Int16[ndarray, "b h w c"]]


class Samples(NamedTuple):
    """Generated images.

    Attributes:
        images: values 0 .. K-1.
        chain: if asked for, all images before the first and after every network call, with
            `HIDDEN` where a dimension is still to come.
    """

    images: UInt8[ndarray, "num h w c"]
    chain: Int16[ndarray, "frames num h w c"] | None


def in_batches(
    num: int,
    batch: int,
    predict: Callable[..., Array],
    make: Callable[[jax.tree_util.Partial, Int[ndarray, " b"], jax.Device], tuple[Array, Frames]],
) -> Samples:
    """Generate images on all devices of this process, each of which has one batch after the other.

    XLA computes a network call hardly faster on two cores of a CPU than on one, so on CPU a process
    should have taken its cores as devices (`ardm.training.devices`).

    Args:
        num: how many images.
        batch: at most so many together; fewer if that leaves no device idle.
        predict: of the images; the devices get copies of the parameters in it.
        make: `make(predict, index, device)` gives the images of these numbers, and their chain or
            nothing; what it is given beside must not be committed to a device. What it begins with
            should be, or its first network call needs a program of its own.
    """
    devices = jax.local_devices()
    each = min(batch, -(-num // len(devices)))
    if not isinstance(predict, jax.tree_util.Partial):
        predict = jax.tree_util.Partial(predict)

    def one(number: int) -> tuple[ndarray, Any]:
        device = devices[number % len(devices)]
        # The last batch is filled up, so that there is one program only.
        index = np.arange(number * each, (number + 1) * each) % num
        with jax.default_device(device):
            images, frames = make(jax.device_put(predict, device), index, device)
            return np.asarray(images), np.stack(frames) if frames else None

    with ThreadPoolExecutor(len(devices), thread_name_prefix="ardm-samples") as threads:
        images, chains = zip(*threads.map(one, range(-(-num // each))), strict=True)
    joined = np.concatenate(images)[:num]
    if chains[0] is None:
        return Samples(joined, None)
    return Samples(joined, np.concatenate(chains, axis=1)[:, :num])


class _State(NamedTuple):
    """Images at a stage. The noise of its dimensions is fixed before its first call."""

    x: UInt8[Array, "b h w c"]
    sigma: Int[Array, "b h w m"]
    noise: Float[Array, "b ..."]


class _Given(NamedTuple):
    """What all stages of a batch begin with."""

    keys: Key[Array, " b"]
    known: Bool[Array | ndarray, "h w m"]
    order: Int[Array | ndarray, "h w m"] | None


def sample(
    predict: Callable[..., Float[Array, "b h w ..."]],
    key: Key[Array, ""],
    num: int,
    starts: Integer[ndarray, " budget"],
    *,
    objective: Objective,
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
        starts: start times of the network calls, such as `ardm.model.policy.uniform` gives:
            ascending, every stage begins with one.
        objective: what the model was trained for.
        order: sigma of all images, such as `ardm.model.draws.fixed` gives, at every stage;
            default: each image at each stage in a random order of its own.
        batch: images generated together, at most.
        temperature: divides the logits; below 1 gives likelier images.
        keep_chain: whether to keep the images after every call.

    Returns:
        The images, and the chain if asked for; in that of Upscale ARDM values are coarse, and
        `HIDDEN` where the first stage has not been yet.

    Raises:
        InputError: the policy, the number of images or the temperature is not usable.
    """
    if num < 1:
        raise InputError(f"num {num}: expected 1 image or more")
    return complete(
        predict,
        image_keys(key, jnp.arange(num)),
        np.zeros((num, *objective.image_shape), np.uint8),
        np.zeros(objective.shape, bool),
        starts,
        objective=objective,
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
    starts: Integer[ndarray, " budget"],
    *,
    objective: Objective,
    order: Int[ndarray, "h w m"] | None = None,
    batch: int = 16,
    temperature: float = 1.0,
    keep_chain: bool = False,
) -> Samples:
    """Generate what is not known of images.

    The known dimensions come first in every order, so that generation begins, at every stage, at
    the step that is their number (section 3 of arXiv 2110.02037); they are given back as they are.
    At an early stage of Upscale ARDM the rest is drawn given their coarse values alone.

    Args:
        predict: see `sample`.
        keys: of the images; each draws from its own alone.
        x: images, values 0 .. K-1; only what is known of them is looked at.
        known: true where a dimension is given, the same for all images.
        starts: start times of the network calls, ascending, the first of every stage its number of
            dimensions known; `ardm.model.policy.remaining` gives such.
        objective: see `sample`.
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
    if not 1e-6 <= temperature <= 1e6:  # what float32 divides logits by without an overflow
        raise InputError(
            f"temperature {temperature}: expected a positive number from 1e-6 to 1e6, such as 0.9"
        )
    count = int(known.sum())
    segments = policy.segments(starts, objective.D, known=count, end=objective.steps)

    def make(
        predict: jax.tree_util.Partial, index: Int[ndarray, " b"], device: jax.Device
    ) -> tuple[Array, Frames]:
        given = _Given(keys[index], known, order)
        values = jnp.asarray(np.where(known, x[index], 0), jnp.uint8)
        state = jax.device_put(_stage(given, values, np.int32(0), objective), device)
        frames = [_frame(state, count)] if keep_chain else []
        for left, right in segments:
            if left >= objective.D and left % objective.D == count:
                state = _stage(given, state.x, left // objective.D, objective)
            state = _reveal(predict, objective, state, left, right, np.float32(temperature))
            if keep_chain:
                frames.append(_frame(state, int(right)))
        return state.x, frames

    return in_batches(len(x), batch, predict, make)


@jax.jit(static_argnames=("objective",))
def _stage(
    given: _Given, x: UInt8[Array, "b h w c"], stage: Integer[Array, ""], objective: Objective
) -> _State:
    """Draw the orders and the noise of a stage."""
    height, width, _ = objective.shape
    keys = objective.stage_keys(given.keys, stage)
    noise = jax.vmap(lambda k: objective.output.noise(k, height, width))(draws.noise_keys(keys))
    sigma = (
        draws.orders(keys, objective.shape)
        if given.order is None
        else jnp.broadcast_to(jnp.asarray(given.order, jnp.int32), (len(x), *objective.shape))
    )
    return _State(x, known_first(sigma, given.known), noise)


@jax.jit(static_argnames=("objective",))
def _reveal(
    predict: jax.tree_util.Partial,
    objective: Objective,
    state: _State,
    left: Integer[Array, ""],
    right: Integer[Array, ""],
    temperature: Float[Array, ""],
) -> _State:
    """Generate the dimensions of the segment [left, right) by one network call."""
    t = jnp.full(state.x.shape[:1], left, jnp.int32)
    stage, within = objective.split(t)
    parameters = predict(state.x, draws.visible(state.sigma, within), t)
    drawn = objective.output.draw(parameters, state.noise, temperature)
    # Hidden dimensions hold their values of the stage before, on which those of this one build.
    written = objective.written(state.x, drawn, stage).astype(jnp.uint8)
    segment = draws.revealed(state.sigma, within, right - left)
    return state._replace(x=jnp.where(segment, written, state.x))


def _frame(state: _State, generated: int) -> Int16[ndarray, "b h w c"]:
    return np.where(np.asarray(state.sigma) < generated, np.asarray(state.x, np.int16), HIDDEN)

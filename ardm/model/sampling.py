"""Generation of images in any order, several dimensions per network call, stage after stage."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer, Key, UInt
from numpy import ndarray

from ardm.errors import InputError
from ardm.model import draws, policy
from ardm.model.draws import known_first
from ardm.model.objective import Objective

HIDDEN = -1
"""Value in a chain of a dimension that is not generated yet."""

Frames = list[Int[ndarray, "b h w c"]]


class Samples(NamedTuple):
    """Generated images.

    Attributes:
        images: values 0 .. K-1.
        chain: all images before the first network call and after each of them, with `HIDDEN` where
            a dimension is not generated yet; None unless it was requested.
    """

    images: UInt[ndarray, "num h w c"]
    chain: Int[ndarray, "frames num h w c"] | None


def in_batches(
    num: int,
    batch: int,
    predict: Callable[..., Array],
    generate: Callable[
        [jax.tree_util.Partial, Int[ndarray, " b"], jax.Device], tuple[Array, Frames]
    ],
) -> Samples:
    """Generate images on all devices of this process; every device generates batch after batch.

    XLA computes a network call hardly faster on two cores of a CPU than on one, so on CPU a process
    should use each core as a device (`ardm.training.devices`).

    Args:
        num: number of images.
        batch: largest number of images per batch; batches are smaller if that keeps more devices
            busy.
        predict: the network with its parameters, which are copied to every device.
        generate: `generate(predict, index, device)` returns the images with these indices, and
            their chain or an empty list. Arrays that it closes over must not be committed to a
            device. The arrays of its first network call should be committed to `device`: otherwise
            that call is compiled separately.
    """
    devices = jax.local_devices()
    size = min(batch, -(-num // len(devices)))
    if not isinstance(predict, jax.tree_util.Partial):
        predict = jax.tree_util.Partial(predict)

    def batch_of(number: int) -> tuple[ndarray, Any]:
        device = devices[number % len(devices)]
        # The last batch is filled up with repeated images, so that one program serves all batches.
        index = np.arange(number * size, (number + 1) * size) % num
        with jax.default_device(device):
            images, frames = generate(jax.device_put(predict, device), index, device)
            return np.asarray(images), np.stack(frames) if frames else None

    with ThreadPoolExecutor(len(devices), thread_name_prefix="ardm-samples") as threads:
        images, chains = zip(*threads.map(batch_of, range(-(-num // size))), strict=True)
    joined = np.concatenate(images)[:num]
    if chains[0] is None:
        return Samples(joined, None)
    return Samples(joined, np.concatenate(chains, axis=1)[:, :num])


class Given(NamedTuple):
    """What is given of an example, and what is to be generated.

    Attributes:
        values: values 0 .. K-1, 0 where none is given.
        known: true where a dimension is given.
        wanted: true where a dimension is to be generated.
    """

    values: UInt[ndarray, "h w c"]
    known: Bool[ndarray, "h w m"]
    wanted: Bool[ndarray, "h w m"]

    @classmethod
    def nothing(cls, objective: Objective) -> "Given":
        """Nothing is given, and everything is to be generated."""
        values = np.zeros(objective.image_shape, objective.value_type)
        return cls(values, np.zeros(objective.shape, bool), np.ones(objective.shape, bool))

    @property
    def end(self) -> int:
        """The number of rows up to the last one with a dimension that is given or wanted."""
        rows = (self.known | self.wanted).any(axis=(1, 2))
        return int(np.flatnonzero(rows).max(initial=-1)) + 1


class State(NamedTuple):
    """Images at a stage. All noise of the stage is drawn before its first network call."""

    x: UInt[Array, "b h w c"]
    sigma: Int[Array, "b h w m"]
    noise: Float[Array, "b ..."]


class Inputs(NamedTuple):
    """The inputs that all stages of a batch share."""

    keys: Key[Array, " b"]
    known: Bool[Array | ndarray, "h w m"]
    wanted: Bool[Array | ndarray, "h w m"]
    order: Int[Array | ndarray, "h w m"] | None


def sample(
    predict: Callable[..., Float[Array, "b h w ..."]],
    key: Key[Array, ""],
    num: int,
    starts: Integer[ndarray, " budget"],
    *,
    objective: Objective,
    given: Given | None = None,
    order: Int[ndarray, "h w m"] | None = None,
    batch: int = 16,
    temperature: float = 1.0,
    keep_chain: bool = False,
) -> Samples:
    """Generate images (algorithm 1 of arXiv 2110.02037).

    One compiled program serves every segment of every policy. It is called from Python, not from
    `lax.scan`: inside loops XLA's convolutions on CPU were about 100 times slower with one version
    of JAX, though not with jax 0.10.2.

    Args:
        predict: `predict(x, seen, t)`; `model.bind(params)` compiles once for all parameters.
        key: image i depends on `fold_in(key, i)` alone, not on `num` or `batch`.
        num: number of images.
        starts: start times of the network calls, for example from `ardm.model.policy.uniform`:
            ascending, and every stage begins with one.
        objective: objective of the model.
        given: what is given of all images alike; default: nothing.
        order: sigma of all images at every stage, for example from `ardm.model.draws.fixed`; by
            default each image has a random order of its own at each stage.
        batch: largest number of images that are generated together.
        temperature: number that divides the logits; below 1 it gives likelier images.
        keep_chain: whether to keep the images after every network call.

    Returns:
        The images, and the chain if it was requested. For Upscale ARDM the chain holds coarse
        values, and `HIDDEN` where the first stage has not generated a dimension yet.

    Raises:
        InputError: the policy, the number of images or the temperature is invalid.
    """
    if num < 1:
        raise InputError(f"num {num}: expected 1 image or more")
    given = given or Given.nothing(objective)
    return complete(
        predict,
        image_keys(key, jnp.arange(num)),
        np.broadcast_to(given.values, (num, *given.values.shape)),
        given.known,
        starts,
        objective=objective,
        wanted=given.wanted,
        order=order,
        batch=batch,
        temperature=temperature,
        keep_chain=keep_chain,
    )


def image_keys(key: Key[Array, ""], index: Int[Array, " num"]) -> Key[Array, " num"]:
    """Derive a key for every image: `fold_in(key, index)`."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)


def complete(
    predict: Callable[..., Float[Array, "b h w ..."]],
    keys: Key[Array, " num"],
    x: UInt[ndarray, "num h w c"],
    known: Bool[ndarray, "h w m"],
    starts: Integer[ndarray, " budget"],
    *,
    objective: Objective,
    wanted: Bool[ndarray, "h w m"] | None = None,
    order: Int[ndarray, "h w m"] | None = None,
    batch: int = 16,
    temperature: float = 1.0,
    keep_chain: bool = False,
) -> Samples:
    """Generate the dimensions of images that are not known.

    The n known dimensions come first in every order, so every stage begins at its step n (section 3
    of arXiv 2110.02037). Their values do not change. At an early stage of Upscale ARDM the other
    dimensions are drawn given only the coarse values of the known ones.

    Args:
        predict: see `sample`.
        keys: one key per image; an image depends on its own key alone.
        x: images, values 0 .. K-1; values of dimensions that are not known are ignored.
        known: true where a dimension is given, the same for all images.
        starts: start times of the network calls, ascending; the first of every stage is its step n.
            `ardm.model.policy.remaining` computes such policies.
        objective: see `sample`.
        wanted: true where a dimension is to be generated, the same for all images; the others keep
            the value 0. Default: all that are not known.
        order: see `sample`.
        batch: largest number of images that are generated together.
        temperature: see `sample`.
        keep_chain: whether to keep the images after every network call.

    Returns:
        The images, and the chain if it was requested.

    Raises:
        InputError: the policy, the batch or the temperature is invalid.
    """
    if batch < 1:
        raise InputError(f"batch {batch}: expected 1 image or more")
    if not 1e-6 <= temperature <= 1e6:  # no division of float32 logits overflows in this range
        raise InputError(
            f"temperature {temperature}: expected a positive number from 1e-6 to 1e6, such as 0.9"
        )
    count = int(known.sum())
    wanted = ~known if wanted is None else wanted & ~known
    last = count + int(wanted.sum())
    _require_order(objective, known, wanted)
    segments = [
        (left, min(right, np.int32(left - left % objective.D + last)))
        for left, right in policy.segments(starts, objective.D, known=count, end=objective.steps)
    ]

    def generate(
        predict: jax.tree_util.Partial, index: Int[ndarray, " b"], device: jax.Device
    ) -> tuple[Array, Frames]:
        inputs = Inputs(keys[index], known, wanted, order)
        values = jnp.asarray(np.where(known, x[index], 0), objective.value_type)
        state = jax.device_put(stage(inputs, values, np.int32(0), objective), device)
        frames = [_frame(state, count)] if keep_chain else []
        for left, right in segments:
            if left >= objective.D and left % objective.D == count:
                state = stage(inputs, state.x, left // objective.D, objective)
            state = reveal(predict, objective, state, left, right, np.float32(temperature))
            if keep_chain:
                frames.append(_frame(state, int(right)))
        return state.x, frames

    return in_batches(len(x), batch, predict, generate)


def _require_order(
    objective: Objective, known: Bool[ndarray, "h w m"], wanted: Bool[ndarray, "h w m"]
) -> None:
    """Raise an error if the dimensions must be generated in an order that they do not have."""
    if not objective.natural_order:
        return
    ranks = np.where(known, 0, np.where(wanted, 1, 2)).reshape(-1)
    if (np.diff(ranks) < 0).any():
        raise InputError(
            "an autoregressive model generates in the natural order: expected the given values to "
            "come before the ones to generate, received others after them; use a model of any "
            "order (model.objective oa, upscale or permuted)"
        )


@jax.jit(static_argnames=("objective",))
def stage(
    inputs: Inputs, x: UInt[Array, "b h w c"], stage: Integer[Array, ""], objective: Objective
) -> State:
    """Draw the orders and the noise of a stage."""
    height, width, _ = objective.shape
    keys = objective.stage_keys(inputs.keys, stage)
    noise = jax.vmap(lambda k: objective.output.noise(k, height, width))(draws.noise_keys(keys))
    sigma = (
        objective.orders(keys)
        if inputs.order is None
        else jnp.broadcast_to(jnp.asarray(inputs.order, jnp.int32), (len(x), *objective.shape))
    )
    return State(x, known_first(sigma, inputs.known, inputs.wanted), noise)


@jax.jit(static_argnames=("objective",))
def reveal(
    predict: jax.tree_util.Partial,
    objective: Objective,
    state: State,
    left: Integer[Array, ""],
    right: Integer[Array, ""],
    temperature: Float[Array, ""],
) -> State:
    """Generate the dimensions of the segment [left, right) with one network call."""
    t = jnp.full(state.x.shape[:1], left, jnp.int32)
    stage, within = objective.split(t)
    parameters = predict(state.x, objective.seen(state.sigma, within), t)
    drawn = objective.output.draw(parameters, state.noise, temperature)
    # A hidden dimension holds its value of the stage before, to which the drawn digit is added.
    written = objective.written(state.x, drawn, stage).astype(state.x.dtype)
    segment = draws.revealed(state.sigma, within, right - left)
    return state._replace(x=jnp.where(segment, written, state.x))


def _frame(state: State, generated: int) -> Int[ndarray, "b h w c"]:
    return np.where(np.asarray(state.sigma) < generated, np.asarray(state.x, np.int32), HIDDEN)

"""Generation from coarse to fine, stage after stage, several digits per network call."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int16, Integer, Key, UInt8
from numpy import ndarray

from ardm.errors import InputError
from ardm.model import draws, policy
from ardm.model.samples import HIDDEN, Frames, Samples, in_batches
from ardm.model.upscale import Upscale


class _State(NamedTuple):
    """Images at a stage. The noise of its digits is fixed before its first call."""

    x: UInt8[Array, "b h w c"]
    sigma: Int[Array, "b h w c"]
    noise: Float[Array, "b h w c"]


def uniform(objective: Upscale, budget: int) -> Int[ndarray, " budget"]:
    """Share network calls evenly among the stages, and the steps of each stage among its calls.

    Args:
        objective: what the model was trained for.
        budget: the number of network calls, S .. S D.

    Returns:
        Start times 0 .. S D - 1, ascending int32; every stage begins with a call.

    Raises:
        InputError: the budget is out of bounds.
    """
    stages, D = objective.stages, objective.D
    if not stages <= budget <= objective.steps:
        raise InputError(
            f"a budget of {budget} network calls for {stages} stages of {D} steps: choose from "
            f"{stages} to {objective.steps}"
        )
    shares = np.diff(np.arange(stages + 1) * budget // stages)
    starts = [policy.uniform(D, int(n)) + stage * D for stage, n in enumerate(shares)]
    return np.concatenate(starts).astype(np.int32)


def sample(
    predict: Callable[..., Float[Array, "b h w c n"]],
    key: Key[Array, ""],
    num: int,
    starts: Integer[ndarray, " budget"],
    *,
    objective: Upscale,
    batch: int = 16,
    temperature: float = 1.0,
    keep_chain: bool = False,
) -> Samples:
    """Generate images, each at every stage in an order of its own.

    One compiled program serves every segment of every stage; see `ardm.model.sampling.sample`.

    Args:
        predict: `predict(x, mask, t)`; `model.bind(params)` compiles once for all parameters.
        key: image i draws from `fold_in(key, i)` alone, whatever `num` and `batch`.
        num: how many images.
        starts: of the network calls, among 0 .. S D - 1, ascending; every stage begins with one.
        objective: what the model was trained for.
        batch: images generated together, at most.
        temperature: divides the logits of the digits; below 1 gives likelier images.
        keep_chain: whether to keep the images after every call.

    Returns:
        The images, and the chain if asked for: coarse values, and `HIDDEN` where the first stage
        has not been yet.

    Raises:
        InputError: the policy, the number of images or the temperature is not usable.
    """
    if num < 1 or batch < 1 or not temperature > 0:
        raise InputError(
            f"num {num}, batch {batch}, temperature {temperature}: all must be positive"
        )
    segments = _segments(starts, objective)

    def make(
        predict: jax.tree_util.Partial, index: Int[ndarray, " b"], device: jax.Device
    ) -> tuple[Array, Frames]:
        numbers = jnp.asarray(index)
        state = jax.device_put(_start(key, numbers, objective), device)
        frames = [_frame(state, 0)] if keep_chain else []
        for left, right in segments:
            if left and left % objective.D == 0:
                state = _next_stage(key, numbers, np.int32(left // objective.D), objective, state.x)
            state = _reveal(predict, objective, state, left, right, np.float32(temperature))
            if keep_chain:
                frames.append(_frame(state, int(right)))
        return state.x, frames

    return in_batches(num, batch, predict, make)


def _segments(
    starts: Integer[ndarray, " budget"], objective: Upscale
) -> list[tuple[np.int32, np.int32]]:
    bounds = [*starts.tolist(), objective.steps]
    needed = range(0, objective.steps, objective.D)
    if any(left >= right for left, right in pairwise(bounds)) or not set(needed) <= set(bounds):
        raise InputError(
            f"a policy must ascend, begin a segment at {list(needed)} and stay below "
            f"{objective.steps}, received {bounds[:-1]}"
        )
    return [(np.int32(left), np.int32(right)) for left, right in pairwise(bounds)]


def _start(key: Key[Array, ""], index: Int[Array, " b"], objective: Upscale) -> _State:
    x = jnp.zeros((len(index), *objective.shape), jnp.uint8)
    return _next_stage(key, index, np.int32(0), objective, x)


@jax.jit(static_argnames=("objective",))
def _next_stage(
    key: Key[Array, ""],
    index: Int[Array, " b"],
    stage: Int[Array, ""],
    objective: Upscale,
    x: UInt8[Array, "b h w c"],
) -> _State:
    """Draw the orders and the noise of a stage."""
    height, width, _ = objective.shape
    keys = draws.stream(jax.vmap(lambda i: jax.random.fold_in(key, i))(index), stage)
    noise = jax.vmap(lambda k: objective.output.noise(k, height, width))(draws.noise_keys(keys))
    return _State(x, draws.orders(keys, objective.shape), noise)


@jax.jit(static_argnames=("objective",))
def _reveal(
    predict: jax.tree_util.Partial,
    objective: Upscale,
    state: _State,
    left: Integer[Array, ""],
    right: Integer[Array, ""],
    temperature: Float[Array, ""],
) -> _State:
    """Generate the digits of the segment [left, right) by one network call."""
    t = jnp.full(state.x.shape[:1], left, jnp.int32)
    stage, within = objective.split(t)
    logits = predict(state.x, draws.visible(state.sigma, within), t)
    digit = objective.output.draw(logits, state.noise, temperature)
    # Hidden dimensions hold their previous values, so a digit is added to them alone.
    drawn = objective.coarsening.child(state.x, digit, stage).astype(jnp.uint8)
    begin = left % objective.D
    segment = (state.sigma >= begin) & (state.sigma < begin + right - left)
    return state._replace(x=jnp.where(segment, drawn, state.x))


def _frame(state: _State, generated: int) -> Int16[ndarray, "b h w c"]:
    return np.where(np.asarray(state.sigma) < generated, np.asarray(state.x, np.int16), HIDDEN)

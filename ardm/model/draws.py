"""Random draws of a training step, and generation orders."""

from functools import cache
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Integer, Key
from numpy import ndarray

from ardm.errors import InputError

TSampling = Literal["uniform", "antithetic", "importance"]

# Folded into a key in place of an example's index, for draws that all examples of a step share. No
# index is as large.
_SHARED = 2**32 - 1

_ENDS = 0.28
"""Strength of the rise of the density of `importance` towards both ends, per dimension."""

# Numbers of the random streams of one example, folded into its key.
_ORDER, _TIME, _DROPOUT, _NOISE = 0, 1, 2, 3


OrderName = Literal["random", "raster", "centre-out"]

_SHARED_ORDER = 2**31 - 1
"""Folded into a key for the order that all images share; no image has that number."""


def example_keys(
    key: Key[Array, ""], step: int | Integer[Array, ""], index: Integer[Array, " b"]
) -> Key[Array, " b"]:
    """Give every example of a step its own key.

    Args:
        key: key of the run.
        step: training step.
        index: index of each example in the global batch.

    Returns:
        `fold_in(fold_in(key, step), index)`.
    """
    at_step = jax.random.fold_in(key, step)
    return jax.vmap(lambda i: jax.random.fold_in(at_step, i))(index)


def stream(keys: Key[Array, " b"], number: int | Integer[Array, ""]) -> Key[Array, " b"]:
    """Fold the number of a stream into every key."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def orders(keys: Key[Array, " b"], shape: tuple[int, int, int]) -> Int[Array, "b h w m"]:
    """Draw a generation order per example, uniform over all permutations.

    Args:
        keys: one key per example.
        shape: height, width and mask channels; their product is D.

    Returns:
        sigma, the step at which each dimension is revealed: a permutation of 0 .. D-1.
    """
    size = shape[0] * shape[1] * shape[2]
    permutations = jax.vmap(lambda key: jax.random.permutation(key, size))(stream(keys, _ORDER))
    return permutations.reshape(-1, *shape)


def uniform_times(keys: Key[Array, " b"], steps: int) -> Int[Array, " b"]:
    """Draw a generation step per example, independent and uniform over 0 .. steps-1."""
    draw = jax.vmap(lambda key: jax.random.randint(key, (), 0, steps))
    return draw(stream(keys, _TIME))


def antithetic_times(
    key: Key[Array, ""],
    step: int | Integer[Array, ""],
    index: Integer[Array, " b"],
    batch: int,
    steps: int | Integer[Array, ""],
) -> Int[Array, " b"]:
    """Distribute the generation steps of a global batch evenly over 0 .. steps-1.

    `t[i] = (offset + floor(i * steps / batch)) mod steps`, with one `offset` per training step,
    uniform over 0 .. steps-1. Each t by itself is uniform; together they are evenly spaced.

    Args:
        key: key of the run.
        step: training step.
        index: index of each example in the global batch.
        batch: size of the global batch; batch * steps must stay below 2**31.
        steps: number of generation steps.

    Returns:
        t, the generation step of each example of `index`.
    """
    shared = jax.random.fold_in(jax.random.fold_in(key, step), _SHARED)
    offset = jax.random.randint(shared, (), 0, steps)
    comb = index.astype(jnp.int32) * steps // batch
    return (offset + comb) % steps


@cache
def importance(D: int, stages: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A density of generation steps that follows the size of their gradients.

    The variance of a training step is least under a density proportional to the square root of
    E|g_t|^2, where g_t is the gradient at step t. It is U-shaped: gradients are large where nothing
    is visible, and where few hidden dimensions carry the whole bound. `benchmarks/t_sampling.py`
    measures it.

    Args:
        D: the number of generation steps of a stage.
        stages: S, the number of stages of Upscale ARDM, which have equal densities; 1 otherwise.

    Returns:
        The distribution function at the end of each step, float32 `[S D]`, and the weight
        `1 / (S D q(t))` that keeps an estimate from step t unbiased, float32 `[S D]`.
    """
    t = np.arange(D)
    q = np.tile(np.sqrt(1.0 + _ENDS * D * (1.0 / (t + 4.0) + 1.0 / (D - t))), stages)
    above = (np.cumsum(q) / q.sum()).astype(np.float32)
    above[-1] = 1.0
    # Computed from the rounded distribution function, which is the one that is drawn from.
    chance = np.diff(above.astype(np.float64), prepend=0.0)
    return above, (1.0 / (len(q) * chance)).astype(np.float32)


def importance_times(
    key: Key[Array, ""],
    step: int | Integer[Array, ""],
    index: Integer[Array, " b"],
    batch: int,
    D: int,
    stages: int = 1,
) -> tuple[Int[Array, " b"], Float[Array, " b"]]:
    """Distribute the generation steps of a global batch by the density of `importance`.

    The evenly spaced numbers `(offset + i / batch) mod 1` are mapped by the inverse of the
    distribution function. Each t by itself has the density; together they have low discrepancy.

    Args:
        key: key of the run.
        step: training step.
        index: index of each example in the global batch.
        batch: size of the global batch.
        D: the number of generation steps of a stage.
        stages: S, the number of stages of Upscale ARDM; 1 otherwise.

    Returns:
        t, the generation step of each example of `index`, and the weights of their estimates.
    """
    above, weight = importance(D, stages)
    shared = jax.random.fold_in(jax.random.fold_in(key, step), _SHARED)
    offset = jax.random.uniform(shared, (), jnp.float32)
    comb = (offset + index.astype(jnp.float32) / batch) % 1.0
    t = jnp.searchsorted(above, comb, side="right").astype(jnp.int32)
    return t, jnp.asarray(weight)[t]


def dropout_keys(keys: Key[Array, " b"]) -> Key[Array, " b"]:
    """Derive the dropout key of every example from its key."""
    return stream(keys, _DROPOUT)


def noise_keys(keys: Key[Array, " b"]) -> Key[Array, " b"]:
    """Derive from the key of every image the key for the values that sampling draws."""
    return stream(keys, _NOISE)


def visible(sigma: Int[Array, "b h w m"], t: Int[Array, " b"]) -> Bool[Array, "b h w m"]:
    """The mask at step `t`: true where a dimension was generated before that step."""
    return sigma < t[:, None, None, None]


def revealed(
    sigma: Int[Array, "b h w m"], t: Int[Array, " b"], steps: Integer[Array, ""]
) -> Bool[Array, "b h w m"]:
    """True where a dimension is generated at one of the steps t .. t + steps - 1."""
    return visible(sigma, t + steps) & ~visible(sigma, t)


def fixed(name: str, key: Key[Array, ""], shape: tuple[int, int, int]) -> Int32[ndarray, "h w m"]:
    """A generation order that all images share.

    Args:
        name: `random`, one order drawn for all images; `raster`, row by row from the top left; or
            `centre-out`, the pixels nearest to the center first.
        key: key from which the random order is drawn; the others ignore it.
        shape: height, width and mask channels; their product is D.

    Returns:
        sigma, the step at which each dimension is revealed: a permutation of 0 .. D-1.

    Raises:
        InputError: no order has this name.
    """
    height, width, channels = shape
    if name == "random":
        shared = jax.random.fold_in(key, _SHARED_ORDER)
        return np.asarray(orders(shared[None], shape)[0], np.int32)
    if name == "raster":
        return np.arange(height * width * channels, dtype=np.int32).reshape(shape)
    if name == "centre-out":
        row, column, _ = np.indices(shape)
        # Squares of twice the distances are whole numbers.
        distance = (2 * row - height + 1) ** 2 + (2 * column - width + 1) ** 2
        # A stable sort of equal distances leaves them in raster order.
        return _ranks(distance.reshape(1, -1)).reshape(shape)
    raise InputError(f"order {name!r}: choose from {', '.join(get_args(OrderName))}")


def known_first(
    sigma: Int[Array, "b h w m"],
    known: Bool[Array | ndarray, "h w m"],
    wanted: Bool[Array | ndarray, "... h w m"] | None = None,
) -> Int[Array, "b h w m"]:
    """Move the known dimensions to the front of every order; the order of the others stays.

    The model covers all orders, so given dimensions can count as generated already (section 3 of
    arXiv 2110.02037), and dimensions that nobody wants to know need never be generated.

    Args:
        sigma: permutations of 0 .. D-1.
        known: true where a dimension is given.
        wanted: true where a dimension is to be generated, in all orders alike or in each of them;
            the rest comes last. Default: all.

    Returns:
        Permutations of 0 .. D-1. The n known dimensions have the numbers 0 .. n-1.
    """
    flat = sigma.reshape(len(sigma), -1)
    place = jnp.where(known, 0, 1 if wanted is None else jnp.where(wanted, 1, 2))
    behind = flat + jnp.broadcast_to(place, sigma.shape).reshape(flat.shape) * flat.shape[1]
    return jnp.argsort(jnp.argsort(behind)).reshape(sigma.shape).astype(sigma.dtype)


def _ranks(values: Int[ndarray, "b d"]) -> Int32[ndarray, "b d"]:
    order = np.argsort(values, axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable").astype(np.int32)

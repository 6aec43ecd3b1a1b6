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

# Stands in place of an example's index for what all examples of a step share; no index is as large.
_SHARED = 2**32 - 1

_ENDS = 0.28
"""How much the density of `importance` rises towards both ends, for each dimension."""

# Streams of one example, folded into its key.
_ORDER, _TIME, _DROPOUT, _NOISE = 0, 1, 2, 3


OrderName = Literal["random", "raster", "centre-out"]

_SHARED_ORDER = 2**31 - 1
"""Folded into a key for what all images share; no image has that number."""


def example_keys(
    key: Key[Array, ""], step: int | Integer[Array, ""], index: Integer[Array, " b"]
) -> Key[Array, " b"]:
    """Give every example of a step its own key.

    Args:
        key: of the whole run.
        step: training step.
        index: of the examples in the global batch.

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
        keys: of the examples.
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
    """Spread the generation steps of a global batch evenly over 0 .. steps-1.

    `t[i] = (offset + floor(i * steps / batch)) mod steps`, with one `offset` per training step,
    uniform over 0 .. steps-1: every t is uniform by itself, together they form a comb.

    Args:
        key: of the whole run.
        step: training step.
        index: of the examples in the global batch.
        batch: size of the global batch; batch * steps must stay below 2**31.
        steps: number of generation steps.

    Returns:
        t of the examples asked for.
    """
    shared = jax.random.fold_in(jax.random.fold_in(key, step), _SHARED)
    offset = jax.random.randint(shared, (), 0, steps)
    comb = index.astype(jnp.int32) * steps // batch
    return (offset + comb) % steps


@cache
def importance(D: int, stages: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A density of generation steps that follows the size of their gradients.

    The variance of a training step is least with a density proportional to the root of E|g_t|^2,
    which is U-shaped: large where nothing is visible, and where few dimensions are left to divide
    the bound among. `benchmarks/t_sampling.py` measures it.

    Args:
        D: the number of generation steps of a stage.
        stages: S, of Upscale ARDM; each has the same density.

    Returns:
        The distribution function at the end of each step, float32 `[S D]`, and the weight
        `1 / (S D q(t))` that keeps an estimate from step t unbiased, float32 `[S D]`.
    """
    t = np.arange(D)
    q = np.tile(np.sqrt(1.0 + _ENDS * D * (1.0 / (t + 4.0) + 1.0 / (D - t))), stages)
    above = (np.cumsum(q) / q.sum()).astype(np.float32)
    above[-1] = 1.0
    # Of the rounded function, so that the weights are those of what is drawn.
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
    """Spread the generation steps of a global batch by the density of `importance`.

    A comb of the numbers `(offset + i / batch) mod 1` goes through the inverse of the distribution
    function: every t has its density by itself, and together they have low discrepancy.

    Args:
        key: of the whole run.
        step: training step.
        index: of the examples in the global batch.
        batch: size of the global batch.
        D: the number of generation steps of a stage.
        stages: S, of Upscale ARDM; else 1.

    Returns:
        t of the examples asked for, and the weights of their estimates.
    """
    above, weight = importance(D, stages)
    shared = jax.random.fold_in(jax.random.fold_in(key, step), _SHARED)
    offset = jax.random.uniform(shared, (), jnp.float32)
    comb = (offset + index.astype(jnp.float32) / batch) % 1.0
    t = jnp.searchsorted(above, comb, side="right").astype(jnp.int32)
    return t, jnp.asarray(weight)[t]


def dropout_keys(keys: Key[Array, " b"]) -> Key[Array, " b"]:
    """Give the examples' keys for dropout."""
    return stream(keys, _DROPOUT)


def noise_keys(keys: Key[Array, " b"]) -> Key[Array, " b"]:
    """Give the images' keys for the values that sampling draws."""
    return stream(keys, _NOISE)


def visible(sigma: Int[Array, "b h w m"], t: Int[Array, " b"]) -> Bool[Array, "b h w m"]:
    """Tell the dimensions that are generated before step `t`: the mask, true where visible."""
    return sigma < t[:, None, None, None]


def revealed(
    sigma: Int[Array, "b h w m"], t: Int[Array, " b"], steps: Integer[Array, ""]
) -> Bool[Array, "b h w m"]:
    """Tell the dimensions that are generated at step `t` and the ones after it, `steps` in all."""
    return visible(sigma, t + steps) & ~visible(sigma, t)


def fixed(name: str, key: Key[Array, ""], shape: tuple[int, int, int]) -> Int32[ndarray, "h w m"]:
    """An order that all images share.

    Args:
        name: `random`, one order drawn for all images; `raster`, row by row from the top left; or
            `centre-out`, the pixels nearest to the centre first.
        key: of the random order.
        shape: height, width and mask channels; their product is D.

    Returns:
        sigma, the step at which each dimension is revealed: a permutation of 0 .. D-1.

    Raises:
        InputError: there is no such order.
    """
    height, width, channels = shape
    if name == "random":
        shared = jax.random.fold_in(key, _SHARED_ORDER)
        return np.asarray(orders(shared[None], shape)[0], np.int32)
    if name == "raster":
        return np.arange(height * width * channels, dtype=np.int32).reshape(shape)
    if name == "centre-out":
        row, column, _ = np.indices(shape)
        # Twice the distances, so that they are whole numbers.
        distance = (2 * row - height + 1) ** 2 + (2 * column - width + 1) ** 2
        # A stable sort of equal distances leaves them in raster order.
        return _ranks(distance.reshape(1, -1)).reshape(shape)
    raise InputError(f"order {name!r}: choose from {', '.join(get_args(OrderName))}")


def known_first(
    sigma: Int[Array, "b h w m"], known: Bool[Array | ndarray, "h w m"]
) -> Int[Array, "b h w m"]:
    """Move the known dimensions to the front of every order; otherwise the order stays.

    Any order will do for a model of all orders, so what is given counts as generated already
    (section 3 of arXiv 2110.02037).

    Args:
        sigma: permutations of 0 .. D-1.
        known: true where a dimension is given.

    Returns:
        Permutations of 0 .. D-1, below the number of known dimensions where one is known.
    """
    flat = sigma.reshape(len(sigma), -1)
    behind = flat + jnp.where(known.reshape(-1), 0, flat.shape[1])
    return jnp.argsort(jnp.argsort(behind)).reshape(sigma.shape).astype(sigma.dtype)


def _ranks(values: Int[ndarray, "b d"]) -> Int32[ndarray, "b d"]:
    order = np.argsort(values, axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable").astype(np.int32)

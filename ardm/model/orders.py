"""Generation orders that are the same for every image, and orders that begin with what is given."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Int32, Key
from numpy import ndarray

from ardm.errors import InputError
from ardm.model import draws

OrderName = Literal["random", "raster", "centre-out"]

_ORDER = 2**31 - 1
"""Folded into a key for what all images share; no image has that number."""


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
        shared = jax.random.fold_in(key, _ORDER)
        return np.asarray(draws.orders(shared[None], shape)[0], np.int32)
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

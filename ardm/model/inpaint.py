"""In-painting: complete images of which a part is given."""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Key, UInt
from numpy import ndarray

from ardm.errors import InputError
from ardm.model.objective import Objective
from ardm.model.sampling import complete, image_keys

KeepName = Literal[
    "top-half", "bottom-half", "left-half", "right-half", "centre", "border", "every-other"
]


def keep(name: str, height: int, width: int) -> Bool[ndarray, "h w"]:
    """The mask of a named region whose pixels are given.

    Args:
        name: `top-half`, `bottom-half`, `left-half` or `right-half`; `centre`, a rectangle half as
            high and half as wide as the image, or the `border` around it; or `every-other`, every
            other pixel of every other row.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        True where a pixel is given.

    Raises:
        InputError: no region has this name.
    """
    row, column = np.indices((height, width))
    center = (height <= 4 * row + 2) & (4 * row + 2 < 3 * height)
    center &= (width <= 4 * column + 2) & (4 * column + 2 < 3 * width)
    regions = {
        "top-half": row < height // 2,
        "bottom-half": row >= height // 2,
        "left-half": column < width // 2,
        "right-half": column >= width // 2,
        "centre": center,
        "border": ~center,
        "every-other": (row % 2 == 0) & (column % 2 == 0),
    }
    if name not in regions:
        raise InputError(f"region {name!r}: choose from {', '.join(get_args(KeepName))}")
    return regions[name]


def inpaint(
    predict: Callable[..., Float[Array, "b h w ..."]],
    key: Key[Array, ""],
    images: UInt[ndarray, "n h w c"],
    known: Bool[ndarray, "h w m"],
    starts: Integer[ndarray, " budget"],
    completions: int,
    *,
    objective: Objective,
    batch: int = 16,
    temperature: float = 1.0,
) -> UInt[ndarray, "n completions h w c"]:
    """Draw several completions of each image, independent of each other, given its known part.

    Args:
        predict: see `ardm.model.sampling.sample`.
        key: completion j of image i depends on `fold_in(fold_in(key, i), j)` alone.
        images: values 0 .. K-1; values of hidden dimensions are ignored.
        known: true where a dimension is given, the same for all images.
        starts: start times of the network calls; see `ardm.model.sampling.complete`.
        completions: number of completions per image.
        objective: objective of the model.
        batch: images generated together.
        temperature: number that divides the logits; below 1 it gives likelier images.

    Returns:
        The completed images.

    Raises:
        InputError: the policy, the number of completions or the temperature is invalid.
    """
    if completions < 1:
        raise InputError(f"completions {completions}: expected 1 or more of each image")
    per_image = image_keys(key, jnp.arange(len(images)))
    keys = jax.vmap(lambda k: image_keys(k, jnp.arange(completions)))(per_image)
    samples = complete(
        predict,
        keys.reshape(-1),
        np.repeat(images, completions, axis=0),
        known,
        starts,
        objective=objective,
        batch=batch,
        temperature=temperature,
    )
    return samples.images.reshape(len(images), completions, *images.shape[1:])

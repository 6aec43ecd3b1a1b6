"""Generated and completed images, batch by batch, side by side on the devices."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int16, Integer, Key, UInt8
from numpy import ndarray

from ardm.errors import InputError
from ardm.model.objective import Objective
from ardm.model.sampling import complete, image_keys

HIDDEN = -1
"""Stands in a chain for a dimension that is not generated yet."""

Frames = list[Int16[ndarray, "b h w c"]]


KeepName = Literal[
    "top-half", "bottom-half", "left-half", "right-half", "centre", "border", "every-other"
]


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


def keep(name: str, height: int, width: int) -> Bool[ndarray, "h w"]:
    """The pixels that are given, by the name of a region.

    Args:
        name: a half of the image; the `centre`, half as high and as wide as the image, or the
            `border` around it; or `every-other` pixel of every other row.
        height: of the image.
        width: of the image.

    Returns:
        True where a pixel is given.

    Raises:
        InputError: there is no such region.
    """
    row, column = np.indices((height, width))
    centre = (height <= 4 * row + 2) & (4 * row + 2 < 3 * height)
    centre &= (width <= 4 * column + 2) & (4 * column + 2 < 3 * width)
    regions = {
        "top-half": row < height // 2,
        "bottom-half": row >= height // 2,
        "left-half": column < width // 2,
        "right-half": column >= width // 2,
        "centre": centre,
        "border": ~centre,
        "every-other": (row % 2 == 0) & (column % 2 == 0),
    }
    if name not in regions:
        raise InputError(f"region {name!r}: choose from {', '.join(get_args(KeepName))}")
    return regions[name]


def inpaint(
    predict: Callable[..., Float[Array, "b h w ..."]],
    key: Key[Array, ""],
    images: UInt8[ndarray, "n h w c"],
    known: Bool[ndarray, "h w m"],
    starts: Integer[ndarray, " budget"],
    completions: int,
    *,
    objective: Objective,
    batch: int = 16,
    temperature: float = 1.0,
) -> UInt8[ndarray, "n completions h w c"]:
    """Complete images in several ways, each drawn on its own from what the given part leaves open.

    Args:
        predict: see `ardm.model.sampling.sample`.
        key: completion j of image i draws from `fold_in(fold_in(key, i), j)` alone.
        images: values 0 .. K-1; only what is known of them is looked at.
        known: true where a dimension is given, the same for all images.
        starts: start times of the network calls; see `ardm.model.sampling.complete`.
        completions: of each image.
        objective: what the model was trained for.
        batch: images generated together.
        temperature: divides the logits; below 1 gives likelier images.

    Returns:
        The completed images.

    Raises:
        InputError: the policy, the number of completions or the temperature is not usable.
    """
    if completions < 1:
        raise InputError(f"completions {completions}: expected 1 or more of each image")
    per_image = image_keys(key, jnp.arange(len(images)))
    keys = jax.vmap(lambda k: image_keys(k, jnp.arange(completions)))(per_image)
    made = complete(
        predict,
        keys.reshape(-1),
        np.repeat(images, completions, axis=0),
        known,
        starts,
        objective=objective,
        batch=batch,
        temperature=temperature,
    )
    return made.images.reshape(len(images), completions, *images.shape[1:])

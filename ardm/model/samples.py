"""Generated images, and their generation batch by batch, side by side on the devices."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int, Int16, UInt8
from numpy import ndarray

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

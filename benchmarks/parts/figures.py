"""Figures with their spreads, and what the machine can do at most."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ardm.training.devices import Devices

SIDE = 1024
"""Side of the matrices of the measured peak."""
BATCH, PIXELS, CHANNELS = 16, 28, 64
"""Batch, side and channels of the convolution of the measured peak."""


class Figure(NamedTuple):
    """A measured figure.

    Attributes:
        what: what was measured.
        unit: its unit.
        median: median of all rounds.
        low: least of them.
        high: largest of them.
        beside: what the figure is to be compared with, measured in the same run.
    """

    what: str
    unit: str
    median: float
    low: float
    high: float
    beside: str = ""


def figure(what: str, unit: str, values: Sequence[float], beside: str = "") -> Figure:
    """The figure of the values of all rounds."""
    return Figure(what, unit, statistics.median(values), min(values), max(values), beside)


def seconds(action: Callable[[], Any]) -> float:
    """Seconds that an action takes, with the arrays that it returns."""
    begin = time.perf_counter()
    jax.block_until_ready(action())
    return time.perf_counter() - begin


class Peak:
    """What all devices together compute at most: a large product, and a usual convolution."""

    def __init__(self) -> None:
        self._devices = Devices(len(jax.local_devices()))
        left = jnp.ones((SIDE, SIDE), jnp.float32)
        images = jnp.ones((BATCH, PIXELS, PIXELS, CHANNELS), jnp.float32)
        kernel = jnp.ones((3, 3, CHANNELS, CHANNELS), jnp.float32)
        self._work = {
            "product": (jax.jit(jnp.matmul), (left, left), 2.0 * SIDE**3),
            "convolution": (
                jax.jit(
                    partial(
                        jax.lax.conv_general_dilated,
                        window_strides=(1, 1),
                        padding="SAME",
                        dimension_numbers=("NHWC", "HWIO", "NHWC"),
                    )
                ),
                (images, kernel),
                2.0 * BATCH * PIXELS**2 * 9 * CHANNELS**2,
            ),
        }
        for kind in self._work:
            self.gflops(kind)

    def gflops(self, kind: str) -> float:
        """Measure the GFLOP/s of a `product` or a `convolution` on all devices at once."""
        function, arguments, operations = self._work[kind]
        copies = self._devices.replicate(arguments)
        count = 4 * self._devices.count
        took = seconds(lambda: self._devices.map(function, copies, [()] * count))
        return 1e-9 * count * operations / took

"""What a trained model generates: samples and completed images."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int16, UInt8


class Calls(NamedTuple):
    """The network calls that generate one image.

    Attributes:
        starts: the generation step at which each call begins.
        kind: kind of the policy: `optimal`, `uniform` or `sequential` (one call per dimension).
    """

    starts: Int[np.ndarray, " budget"]
    kind: str


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated images; a notebook shows them as a grid.

    >>> samples = model.sample(4, budget=10)
    >>> samples.images.shape, samples.calls, samples.policy
    ((4, 28, 28, 1), 10, 'optimal')

    Attributes:
        images: the images, with values 0 .. K-1.
        chain: all images before the first network call and after every call, -1 where a dimension
            is not generated yet; None unless requested.
        calls: number of network calls per image.
        policy: kind of the policy: `optimal`, `uniform` or `sequential`.
        classes: number of values of a dimension, K.
    """

    images: UInt8[np.ndarray, "num h w c"]
    chain: Int16[np.ndarray, "frames num h w c"] | None
    calls: int
    policy: str
    classes: int

    def png(self) -> bytes:
        """The images as a grid, a PNG file."""
        from ardm.plots import pictures  # Matplotlib takes a second to import

        return pictures.grid(self.images, self.classes)

    def save(self, path: str | Path) -> None:
        """Write the grid to a PNG file."""
        Path(path).write_bytes(self.png())

    def _repr_png_(self) -> bytes:
        return self.png()


@dataclass(frozen=True, eq=False)
class Completions:
    """Completed images.

    Attributes:
        images: several completions of each given image, with values 0 .. K-1.
        calls: number of network calls per image.
        policy: kind of the policy: `optimal`, `uniform` or `sequential`.
    """

    images: UInt8[np.ndarray, "n completions h w c"]
    calls: int
    policy: str

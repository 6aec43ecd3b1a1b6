"""The `data` section of a job file."""

from typing import Literal

from ardm.config import Section


class DataConfig(Section):
    """Which images to train on, and where they come from.

    `bundled` is inside the package and needs no network; `tfds` downloads the published files once.
    """

    dataset: Literal["binarized_mnist"] = "binarized_mnist"
    source: Literal["bundled", "tfds"] = "bundled"


def describe(config: DataConfig) -> tuple[tuple[int, int, int], int]:
    """Tell the shape (H, W, C) of one image and K, its number of classes, without reading any."""
    return {"binarized_mnist": ((28, 28, 1), 2)}[config.dataset]

"""The binarization of the bundled data; `README.md` beside this file describes it."""

from collections.abc import Mapping

import numpy as np

from ardm.data.dataset import SPLITS, Images

SEED = 0
_BINARIZE = 1
"""In the key of a step's stream, so that it shares no number with the one of `augment`."""
BLOCK = 1000
"""Images that are drawn together: a draw takes eight bytes a pixel. The result is the same for any
number."""


def binarize_splits(grey: Mapping[str, Images]) -> dict[str, Images]:
    """Binarize three splits from one stream of random numbers: train, valid, test.

    Args:
        grey: uint8 `[N, H, W, C]` under each of `train`, `valid`, `test`.

    Returns:
        Arrays of the same shapes, 0 or 1.
    """
    bits = np.random.PCG64(SEED)
    return {
        split: np.concatenate(
            [
                binarize(grey[split][start : start + BLOCK], bits)
                for start in range(0, len(grey[split]), BLOCK)
            ]
        )
        for split in SPLITS
    }


def dynamic_splits(grey: Mapping[str, Images]) -> dict[str, Images]:
    """Leave the training images as they are, to be binarized when they are dealt.

    Args:
        grey: uint8 `[N, H, W, C]` under each of `train`, `valid`, `test`.

    Returns:
        `valid` and `test` as `binarize_splits` gives them, `train` in gray values.
    """
    return binarize_splits(grey) | {"train": grey["train"]}


def binarize_batch(grey: Images, seed: int, step: int, start: int) -> Images:
    """Binarize images of a batch; each pixel is a function of the seed, the step and its place.

    Args:
        grey: uint8 `[n, H, W, C]`, those at `start, start + 1, ...` in the batch.
        seed: of the run.
        step: training step, from 0.
        start: index in the whole batch of the first of the images.

    Returns:
        uint8 of the same shape, 0 or 1.
    """
    bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(step, _BINARIZE)))
    return binarize(grey, bits.advance(start * grey[:1].size))


def binarize(grey: np.ndarray, bits: np.random.BitGenerator) -> np.ndarray:
    """Draw each pixel from a Bernoulli distribution with probability grey / 255.

    A pixel is 1 where `(raw >> 32) * 255 < grey * 2**32` for the next raw 64-bit output of the
    bit generator: whole numbers only, and the raw stream is the one that numpy promises never to
    change (NEP 19), unlike those of `Generator`'s methods.

    Args:
        grey: uint8, any shape.
        bits: advanced by one output per pixel, in C order.

    Returns:
        uint8 of the same shape, 0 or 1.
    """
    draws = bits.random_raw(grey.size).reshape(grey.shape) >> np.uint64(32)
    return (draws * np.uint64(255) < grey.astype(np.uint64) << np.uint64(32)).astype(np.uint8)

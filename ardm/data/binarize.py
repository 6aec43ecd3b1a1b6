"""The binarization of the bundled data; `README.md` beside this file describes it."""

from collections.abc import Mapping

import numpy as np

from ardm.data.dataset import SPLITS, Images

SEED = 0
_BINARIZE = 1
"""Part of the key of a step's stream, so that it differs from the stream of `augment`."""
BLOCK = 1000
"""Number of images that are binarized together. A draw takes eight bytes per pixel. The result does
not depend on this number."""


def binarize_splits(gray: Mapping[str, Images]) -> dict[str, Images]:
    """Binarize three splits from one stream of random numbers: train, valid, test.

    Args:
        gray: uint8 `[N, H, W, C]` under each of `train`, `valid`, `test`.

    Returns:
        Arrays of the same shapes, 0 or 1.
    """
    bits = np.random.PCG64(SEED)
    return {
        split: np.concatenate(
            [
                binarize(gray[split][start : start + BLOCK], bits)
                for start in range(0, len(gray[split]), BLOCK)
            ]
        )
        for split in SPLITS
    }


def dynamic_splits(gray: Mapping[str, Images]) -> dict[str, Images]:
    """Binarize the validation and test images; the training images keep their gray values.

    Args:
        gray: uint8 `[N, H, W, C]` under each of `train`, `valid`, `test`.

    Returns:
        `valid` and `test` as `binarize_splits` returns them, and `train` unchanged.
    """
    return binarize_splits(gray) | {"train": gray["train"]}


def binarize_batch(gray: Images, seed: int, step: int, start: int) -> Images:
    """Binarize images of a batch. A pixel depends on the seed, the step and its place in the batch.

    Args:
        gray: uint8 `[n, H, W, C]`, the images at `start, start + 1, ...` in the batch.
        seed: seed of the run.
        step: training step, from 0.
        start: index of the first image in the whole batch.

    Returns:
        uint8 of the same shape, 0 or 1.
    """
    bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(step, _BINARIZE)))
    return binarize(gray, bits.advance(start * gray[:1].size))


def binarize(gray: np.ndarray, bits: np.random.BitGenerator) -> np.ndarray:
    """Draw each pixel from a Bernoulli distribution with probability gray / 255.

    A pixel is 1 where `(raw >> 32) * 255 < gray * 2**32` for the next raw 64-bit output of the
    bit generator. This needs whole numbers only. NumPy guarantees that the raw stream never changes
    (NEP 19), unlike the results of `Generator`'s methods.

    Args:
        gray: uint8, any shape.
        bits: bit generator; it is advanced by one output per pixel, in C order.

    Returns:
        uint8 of the same shape, 0 or 1.
    """
    draws = bits.random_raw(gray.size).reshape(gray.shape) >> np.uint64(32)
    return (draws * np.uint64(255) < gray.astype(np.uint64) << np.uint64(32)).astype(np.uint8)

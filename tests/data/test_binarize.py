import hashlib

import numpy as np
import pytest

from ardm.data import binarize as recipe
from ardm.data.binarize import binarize, binarize_splits
from ardm.data.dataset import SPLITS
from tests.data.published import random_images


def test_probability_is_gray_over_255():
    gray = np.tile(np.arange(256, dtype=np.uint8), (20_000, 1))
    drawn = binarize(gray, np.random.PCG64(1)).mean(axis=0)
    assert drawn[0] == 0
    assert drawn[255] == 1
    expected = np.arange(256) / 255
    standard_error = np.sqrt(expected * (1 - expected) / len(gray))
    assert (np.abs(drawn - expected) <= 5 * standard_error).all()


def test_blocks_continue_one_stream():
    gray = np.random.default_rng(0).integers(0, 256, (10, 7), dtype=np.uint8)
    whole = binarize(gray, np.random.PCG64(3))
    bits = np.random.PCG64(3)
    parts = [binarize(block, bits) for block in np.split(gray, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_splits_continue_one_stream_in_blocks_of_any_size(block, monkeypatch):
    gray = random_images(10, (4, 4, 1))
    monkeypatch.setattr(recipe, "BLOCK", block)
    drawn = binarize_splits({"test": gray[9:], "train": gray[:7], "valid": gray[7:9]})
    np.testing.assert_array_equal(
        np.concatenate([drawn["train"], drawn["valid"], drawn["test"]]),
        binarize(gray, np.random.PCG64(recipe.SEED)),
    )


def test_draws_are_those_of_every_numpy():
    """Golden: with other draws the bundled file could not be made again."""
    gray = {split: np.full((4, 32, 32, 1), 100, np.uint8) for split in SPLITS}
    drawn = np.packbits(binarize_splits(gray)["train"])
    expected = "36d6c31328b49d8e41f77c2baaa28be04d8f03dae58a8ba1d417c6092498f9e7"
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == expected

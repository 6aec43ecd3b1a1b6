import hashlib

import numpy as np
import pytest

from ardm.data import bundled
from ardm.data.config import DataConfig
from ardm.data.dataset import load
from ardm.errors import InputError

CORNERS = (slice(None, 4), slice(-4, None))


@pytest.fixture(scope="module")
def dataset():
    return load(DataConfig())


def test_shapes_and_values(dataset):
    assert (dataset.name, dataset.shape, dataset.classes) == ("binarized_mnist", (28, 28, 1), 2)
    assert dataset.train.shape == (50_000, 28, 28, 1)
    assert dataset.valid.shape == dataset.test.shape == (10_000, 28, 28, 1)
    for images in (dataset.train, dataset.valid, dataset.test):
        assert images.dtype == np.uint8
        assert np.unique(images).tolist() == [0, 1]


def test_mean_is_that_of_the_gray_values(dataset):
    """0.1307 is MNIST's published mean; one standard error of 47 million draws is below 0.00005."""
    training_file = np.concatenate([dataset.train, dataset.valid])
    assert training_file.mean() == pytest.approx(0.1307, abs=0.0001)


def test_digits_stand_in_the_middle(dataset):
    mean = dataset.train.mean(axis=(0, 3))
    assert max(mean[rows, columns].max() for rows in CORNERS for columns in CORNERS) < 0.01
    assert mean[10:18, 10:18].mean() > 0.3


def test_no_image_of_one_split_is_in_another(dataset):
    images = {
        split: {image.tobytes() for image in getattr(dataset, split)}
        for split in ("train", "valid", "test")
    }
    assert not images["train"] & images["test"]
    assert not images["train"] & images["valid"]
    assert not images["valid"] & images["test"]


def test_digest(dataset):
    """Golden: with another digest results are no longer comparable."""
    assert dataset.sha256 == "f99a0556af75014a700b9f478d3814aa207c24f448dcb26ba2db28da3578f811"


def test_a_damaged_file_is_named_with_both_digests(tmp_path):
    damaged = tmp_path / "data.xz"
    content = bytearray(bundled.FILE.read_bytes())
    content[1000] ^= 1
    damaged.write_bytes(content)
    received = hashlib.sha256(content).hexdigest()
    with pytest.raises(InputError, match=f"{bundled.FILE_SHA256}, received {received}"):
        bundled.read(damaged)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="install the package anew"):
        bundled.read(tmp_path / "none.xz")

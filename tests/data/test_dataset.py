import numpy as np
import pytest

from ardm.data.dataset import SPLITS, Dataset, spread
from ardm.errors import InputError


def splits_of(images: np.ndarray) -> dict[str, np.ndarray]:
    return {split: images.copy() for split in SPLITS}


def test_equal_digests_are_equal_data():
    images = np.zeros((3, 4, 5, 1), np.uint8)
    digest = Dataset.of("a", 2, splits_of(images)).sha256
    assert Dataset.of("b", 2, splits_of(images)).sha256 == digest
    assert Dataset.of("a", 2, splits_of(images.reshape(3, 5, 4, 1))).sha256 != digest
    for split in SPLITS:
        changed = splits_of(images)
        changed[split][2, 3, 4, 0] = 1
        assert Dataset.of("a", 2, changed).sha256 != digest


def test_an_image_that_moves_between_splits_changes_the_digest():
    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    one = Dataset.of("a", 6, {"train": images[:3], "valid": images[3:5], "test": images[5:]})
    other = Dataset.of("a", 6, {"train": images[:4], "valid": images[4:5], "test": images[5:]})
    assert one.sha256 != other.sha256


@pytest.mark.parametrize(
    ("test_split", "received"),
    [
        (np.full((1, 4, 5, 1), 2, np.uint8), "received 2"),
        (np.zeros((1, 4, 5, 1), np.float32), "float32"),
        (np.zeros((1, 5, 4, 1), np.uint8), r"\(1, 5, 4, 1\)"),
        (np.zeros((4, 5, 1), np.uint8), r"\(4, 5, 1\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(test_split, received):
    splits = splits_of(np.zeros((3, 4, 5, 1), np.uint8)) | {"test": test_split}
    with pytest.raises(InputError, match=rf"split test.*{received}"):
        Dataset.of("a", 2, splits)


def test_some_images_are_spread_over_all():
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    assert list(spread(images, 3).ravel()) == [0, 3, 6]
    assert list(spread(images, 7).ravel()) == [0, 1, 2, 4, 5, 7, 8]
    for count in (None, 10, 11):
        assert spread(images, count) is images

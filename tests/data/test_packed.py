import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardm.data.bundled import pack, unpack
from ardm.data.dataset import SPLITS, Dataset
from ardm.errors import InputError


def dataset_of(classes: int, shape: tuple[int, int, int], sizes: tuple[int, int, int]) -> Dataset:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, classes, (size, *shape), dtype=np.uint8) for size in sizes]
    return Dataset.of("x", classes, dict(zip(SPLITS, arrays, strict=True)))


sides = st.integers(1, 9)


@settings(deadline=None, max_examples=50)
@given(
    classes=st.sampled_from([2, 3, 255]),
    shape=st.tuples(sides, sides, st.integers(1, 3)),
    sizes=st.tuples(*[st.integers(0, 5)] * 3),
)
def test_a_round_trip_keeps_everything(classes, shape, sizes):
    dataset = dataset_of(classes, shape, sizes)
    received = unpack(pack(dataset), origin="here")
    for split in SPLITS:
        np.testing.assert_array_equal(getattr(received, split), getattr(dataset, split))
    assert (received.name, received.shape, received.classes) == ("x", shape, classes)
    assert received.sha256 == dataset.sha256


def test_the_same_data_give_the_same_file():
    assert pack(dataset_of(2, (3, 3, 1), (4, 1, 1))) == pack(dataset_of(2, (3, 3, 1), (4, 1, 1)))


def test_two_classes_take_one_bit():
    binary, gray = (len(pack(dataset_of(k, (32, 32, 1), (64, 1, 1)))) for k in (2, 256))
    assert binary < gray / 7


def test_arrays_that_differ_from_their_digest_are_refused():
    dataset = dataset_of(2, (3, 8, 1), (4, 1, 1))
    content = bytearray(lzma.decompress(pack(dataset)))
    content[-1] ^= 1
    with pytest.raises(
        InputError, match=f"gs://b/x: expected.*{dataset.sha256}, received [0-9a-f]"
    ):
        unpack(lzma.compress(bytes(content)), origin="gs://b/x")


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: b"text"])
def test_half_a_file_and_other_files_are_refused(damage):
    content = damage(pack(dataset_of(2, (3, 8, 1), (4, 1, 1))))
    with pytest.raises(InputError, match=r"gs://b/x.*delete the file"):
        unpack(content, origin="gs://b/x")

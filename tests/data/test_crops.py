import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ardm.data.crops import Crops, chunks

sizes = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def made(lengths):
    """Sequences of different values: 1, 2, 3, ..."""
    numbers = np.arange(1, sum(lengths) + 1, dtype=np.uint16)
    return np.split(numbers, np.cumsum(lengths)[:-1])


@given(sizes, st.integers(1, 12))
def test_every_place_of_every_sequence_begins_a_crop(lengths, length):
    wholes = made(lengths)
    crops = Crops(wholes, length)
    expected = []
    for whole in wholes:
        filled = np.pad(whole, (0, max(length - len(whole), 0)))
        expected += [filled[i : i + length] for i in range(len(filled) - length + 1)]
    assert crops.shape == (len(expected), length, 1, 1)
    assert len(crops) == len(expected)
    found = crops[list(range(len(expected)))]
    assert found.dtype == crops.dtype == np.uint16
    np.testing.assert_array_equal(found[:, :, 0, 0], expected)
    np.testing.assert_array_equal(
        crops[[len(crops) - 1, 0]][:, :, 0, 0], [expected[-1], expected[0]]
    )


@given(sizes, st.integers(1, 12))
def test_in_turn_no_value_is_there_twice_and_only_incomplete_ends_are_missing(lengths, length):
    wholes = made(lengths)
    found = Crops(wholes, length, filling=0).in_turn()
    assert found.shape[1:] == (length, 1, 1)
    values = found.reshape(-1)
    kept = [whole[: max(len(whole) // length, 1) * length] for whole in wholes]
    np.testing.assert_array_equal(values[values > 0], np.concatenate(kept))


def test_the_end_of_the_last_chunk_is_filled():
    assert chunks(np.array([1, 2, 3], np.uint8), 2, 9).reshape(-1).tolist() == [1, 2, 3, 9]
    assert chunks(np.zeros(0, np.uint8), 2).shape == (0, 2, 1, 1)


def test_contents_differ_if_values_or_bounds_differ():
    one = [np.array([1, 2], np.uint8), np.array([3], np.uint8)]
    other = [np.array([1], np.uint8), np.array([2, 3], np.uint8)]
    assert Crops(one, 1).content() != Crops(other, 1).content()
    assert Crops(one, 1).content() == Crops([part.copy() for part in one], 1).content()

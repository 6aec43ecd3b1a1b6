import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardm.data.splits import by_name, by_position
from ardm.errors import InputError

NUMBERED = [f"{number:05d}.png" for number in range(1000)]


def numbered(count: int) -> np.ndarray:
    return np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 2, 2, 1)


@pytest.mark.parametrize(
    ("dataset", "count", "train", "valid"),
    [
        ("mnist", 60_000, 50_000, 10_000),
        ("fashion_mnist", 60_000, 50_000, 10_000),
        ("binarized_mnist", 60_000, 50_000, 10_000),
        ("cifar10", 50_000, 45_000, 5_000),
        ("mnist", 13, 11, 2),
        ("mnist", 2, 1, 1),
    ],
)
def test_the_last_training_images_are_held_out(dataset, count, train, valid):
    images = numbered(count)
    splits = by_position(dataset, images, images[:1])
    assert [len(splits[name]) for name in ("train", "valid", "test")] == [train, valid, 1]
    np.testing.assert_array_equal(np.concatenate([splits["train"], splits["valid"]]), images)


names = st.lists(
    st.text("abc/019._", min_size=1, max_size=12), min_size=3, max_size=40, unique=True
)


@settings(deadline=None, max_examples=100)
@given(names=names, seed=st.randoms())
def test_every_name_is_in_one_split_whatever_their_order(names, seed):
    names = [f"x{name}" for name in names]
    splits = by_name(names, "here")
    assert sorted(name for held in splits.values() for name in held) == sorted(names)
    assert all(held == sorted(held) and held for held in splits.values())
    shuffled = seed.sample(names, len(names))
    assert by_name(shuffled, "here") == splits


def test_a_tenth_each_is_held_out_and_spread_over_the_numbers():
    splits = by_name(NUMBERED, "here")
    assert [len(splits[name]) for name in ("train", "valid", "test")] == [810, 90, 100]
    for name in ("valid", "test"):
        assert np.mean([int(file[:5]) for file in splits[name]]) == pytest.approx(500, abs=100)


def test_it_is_always_the_same_tenth():
    """Golden: with other files held out, results are no longer comparable."""
    splits = by_name(NUMBERED, "here")
    assert splits["test"][:3] == ["00033.png", "00043.png", "00048.png"]
    assert splits["valid"][:3] == ["00023.png", "00032.png", "00047.png"]


def test_folders_of_splits_are_followed():
    train = [f"train/{name}" for name in NUMBERED]
    test = ["test/cat/1.png", "test/dog/1.png"]
    splits = by_name([*train, *test, "other/1.png", "1.png"], "here")
    assert splits["test"] == test
    assert len(splits["valid"]) == 100
    assert sorted(splits["train"] + splits["valid"]) == train


@pytest.mark.parametrize("valid", ["valid", "validation", "val"])
def test_a_folder_of_validation_images_is_taken_whole(valid):
    names = ["train/1.png", f"{valid}/a/2.png", "test/3.png"]
    splits = by_name(names, "here")
    assert [splits[name] for name in ("train", "valid", "test")] == [[name] for name in names]


def test_one_folder_of_splits_alone_is_a_folder_like_any_other():
    names = [f"train/{name}" for name in NUMBERED]
    assert len(by_name(names, "here")["test"]) == 100


@pytest.mark.parametrize("names", [["1.png", "2.png"], ["train/1.png", "test/2.png"], ["1.png"]])
def test_too_few_images_are_refused(names):
    with pytest.raises(InputError, match=f"here.*received {len(names)}, which leaves none for"):
        by_name(names, "here")

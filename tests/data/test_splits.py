import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardm.data.splits import OUTSIDE, SAME_FILE, by_position, split_of
from ardm.data.splits import by_name as deal
from ardm.errors import InputError


def files(names) -> dict[str, str]:
    return {name: f"/root/{name}" for name in names}


def by_name(names, origin) -> dict[str, list[str]]:
    return deal(files(names), origin).names


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


def numbers(folder, count=20, start=0):
    return [f"{folder}/{number}.png" for number in range(start, start + count)]


TRAIN, VALID, TEST = numbers("train"), numbers("val", 3, 20), numbers("test", 4, 30)


@pytest.mark.parametrize("train", [TRAIN, []])
@pytest.mark.parametrize("valid", [VALID, []])
@pytest.mark.parametrize("test", [TEST, []])
def test_any_subset_of_the_folders_is_followed(train, valid, test):
    loose = [] if train else numbers("more")
    names = [*train, *valid, *test, *loose]
    result = deal(files(names), "here")
    assert sorted(name for held in result.names.values() for name in held) == sorted(names)
    given = {"valid": valid, "test": test}
    for split, some in given.items():
        if some:
            assert result.names[split] == sorted(some)
            assert result.origins[split] == f"the user's: {some[0].split('/')[0]}/"
        else:
            assert set(result.names[split]) < set(train or loose)
            assert result.origins[split].startswith("held out by ardm: a tenth of ")
    assert set(result.names["train"]) <= set(train or loose)


def test_other_files_beside_train_and_test_are_named():
    result = deal(files([*TRAIN, *TEST, "other/1.png", "1.png"]), "here")
    assert {(one.name, one.reason) for one in result.left_out} == {
        ("other/1.png", OUTSIDE),
        ("1.png", OUTSIDE),
    }


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        *[(name, "train") for name in ("train", "Train", "TRAINING", "train2017", "train_64x64")],
        *[(name, "valid") for name in ("val", "valid", "Validation", "val_images", "dev", "eval")],
        *[(name, "test") for name in ("test", "Testing", "test-set", "imagesTest", "testB")],
        *[(name, None) for name in ("trainval", "cat", "contest", "train_test", "", "2017", "set")],
    ],
)
def test_usual_names_of_folders(folder, split):
    assert split_of(folder) == split


@pytest.mark.parametrize("level", ["archive/data/{}/x", "cats/{}", "{}/cats"])
def test_folders_of_splits_lie_at_any_level(level):
    names = [level.format(split) + f"/{n}.png" for split in ("train", "val") for n in range(20)]
    result = deal(files(names), "here")
    assert result.names["valid"] == sorted(name for name in names if "val" in name)
    assert not any("val" in name for split in ("train", "test") for name in result.names[split])


parts = st.sampled_from(["train", "val", "test", "cat", "Validation", "archive", "eval_set"])
paths = st.lists(parts, max_size=4).map(lambda folders: "/".join([*folders, "x"]))


@given(st.lists(paths, min_size=3, max_size=30).map(enumerate))
def test_what_lies_below_a_held_out_folder_is_never_trained_on(numbered):
    names = [f"{path}{number}.png" for number, path in numbered]
    held_out = [n for n in names if {split_of(f) for f in n.split("/")[:-1]} & {"valid", "test"}]
    try:
        result = deal(files(names), "here")
    except InputError:
        return
    assert not set(result.names["train"]) & set(held_out)
    dealt = [name for held in result.names.values() for name in held]
    assert sorted([*dealt, *(one.name for one in result.left_out)]) == sorted(names)


@pytest.mark.parametrize(
    "folders",
    [
        ["trainval/train", "trainval/val", "test"],
        ["train/val", "train/train", "test"],
        ["cat/train", "cat/val", "dog/train", "dog/test"],
    ],
)
def test_folders_of_splits_at_several_levels(folders):
    result = deal(files([name for folder in folders for name in numbers(folder)]), "here")
    for split, part in (("train", "train/"), ("valid", "val/"), ("test", "test/")):
        given = [folder for folder in folders if f"{folder}/".endswith(part)]
        expected = sorted(name for folder in given for name in numbers(folder))
        assert result.names[split] == expected


def test_folders_of_one_split_are_taken_together():
    result = deal(files([*TRAIN, *VALID, *numbers("validation", 2)]), "here")
    assert len(result.names["valid"]) == 5
    assert result.origins["valid"] == "the user's: val/ and validation/"


def test_a_class_named_train_is_a_class():
    names = [*numbers("bus"), *numbers("car"), *numbers("train")]
    result = deal(files(names), "here")
    assert len(result.names["train"]) == 49
    assert result.left_out == []


@pytest.mark.parametrize("other", ["val/a.heic", "val/", "test/", "test/.DS_Store"])
def test_a_folder_of_a_split_without_an_image_is_refused(other):
    folder = other.split("/")[0]
    for names in (TRAIN, [*TRAIN, *VALID, *TEST]):
        if folder + "/" in {name[: len(folder) + 1] for name in names}:
            continue
        with pytest.raises(InputError, match=rf"leaves none for .*no image in {folder}/ can be"):
            deal(files(names), "here", [other])


def test_held_out_images_without_others_are_refused():
    with pytest.raises(InputError, match="which leaves none for train"):
        deal(files([*VALID, *TEST]), "here")


def test_a_file_with_two_names_is_used_once_and_held_out_first():
    same = dict.fromkeys(["train/0.png", "val/20.png", "test/30.png"], "/far/1")
    same |= dict.fromkeys(["train/1.png", "val/21.png"], "/far/2")
    same |= {"train/2.png": "/root/train/3.png"}
    result = deal(files([*TRAIN, *VALID, *TEST]) | same, "here")
    assert {(one.name, one.detail) for one in result.left_out} == {
        ("train/0.png", "as test/30.png"),
        ("val/20.png", "as test/30.png"),
        ("train/1.png", "as val/21.png"),
        ("train/2.png", "as train/3.png"),
    }
    assert {one.reason for one in result.left_out} == {SAME_FILE}
    held = [name for some in result.names.values() for name in some]
    assert len(held) == len(set(held)) == 27 - 4


def test_one_folder_of_splits_alone_is_a_folder_like_any_other():
    names = [f"train/{name}" for name in NUMBERED]
    assert len(by_name(names, "here")["test"]) == 100


@pytest.mark.parametrize("names", [["1.png", "2.png"], ["train/1.png", "test/2.png"], ["1.png"]])
def test_too_few_images_are_refused(names):
    with pytest.raises(InputError, match=f"here.*received {len(names)}, which leaves none for"):
        by_name(names, "here")

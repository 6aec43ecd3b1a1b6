"""Splits of data without published ones. The same images are held out every time."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ardm.data.dataset import Images
from ardm.data.provenance import Unused
from ardm.errors import InputError

ONE_IN = {"binarized_mnist": 6, "mnist": 6, "fashion_mnist": 6, "cifar10": 10, "images": 10}
"""One in how many training images is held out as `valid`: 10,000 of MNIST's 60,000, and 5,000 of
CIFAR-10's 50,000."""

OUTSIDE = "outside of the folders of splits"
SAME_FILE = "another name of a file that is used"

_NAMES = {
    "train": {"train", "training"},
    "valid": {"valid", "val", "validation", "validate", "dev", "eval", "evaluation"},
    "test": {"test", "testing"},
}
_NEUTRAL = {"image", "images", "img", "imgs", "data", "dataset", "set", "split", "x", "a", "b"}
"""Words that a folder name may contain beside the name of a split. Digits may also be there:
train_64x64, valImages2017."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def by_position(dataset: str, train: Images, test: Images) -> dict[str, Images]:
    """Hold out the last training images as `valid`, in their published order.

    Args:
        dataset: name of the data set, which decides how many images are held out.
        train: uint8 `[N, H, W, C]`; the last `N // ONE_IN` images, at least 1, become `valid`.
        test: the published test images, likewise; they are not changed.

    Returns:
        The three splits.
    """
    valid = max(1, len(train) // ONE_IN[dataset])
    return {"train": train[:-valid], "valid": train[-valid:], "test": test}


def origins_by_position(dataset: str) -> dict[str, str]:
    """For each split of `by_position`, a phrase that says where it comes from."""
    part = {6: "sixth", 10: "tenth"}[ONE_IN[dataset]]
    held_out = f"held out by ardm: the last {part} of the published training images"
    return {"train": "published, without the valid images", "valid": held_out, "test": "published"}


class Deal(NamedTuple):
    """Files that are assigned to splits.

    Attributes:
        names: for each split the names of its files, in ascending order.
        origins: for each split a phrase that says who chose it, and how.
        left_out: files that are in no split.
    """

    names: dict[str, list[str]]
    origins: dict[str, str]
    left_out: list[Unused]


def by_name(files: Mapping[str, str], origin: str, others: Iterable[str] = ()) -> Deal:
    """Assign files to splits by their names alone.

    A folder `train`, `val` or `test`, or one with another usual name such as `validation` or
    `test_images`, holds a split, at any level. Files below `val` or `test` are never in `train`. If
    there is a folder `train`, files outside of the folders of splits are left out; otherwise they
    are the training images. If there is neither `val` nor `test`, `train` is an ordinary folder.

    A split without a folder is held out of the training images: the tenth of them, at least 1,
    whose names have the lowest SHA-256 hashes. So it is spread evenly over the folders of classes
    and over numbered files.

    Args:
        files: the identity of each image (see `Listing`) under its name relative to the root. If a
            file has several names, one in `test` is used, else one in `valid`, else one in `train`.
        origin: the root, for the error message.
        others: names of files and folders that are not images; those of folders end with `/`.

    Returns:
        The files of each split.

    Raises:
        InputError: a split would be empty.
    """
    places = {name: _place(name) for name in files}
    held_out = any(place and place.split != "train" for place in places.values())
    # Folders without images count as splits only at the levels where images could have them.
    levels = {place.level for place in places.values() if place}
    levels = levels if held_out else {_common_folders(files)}
    other_places = [place for place in map(_place, others) if place and place.level in levels]
    groups: dict[str | None, list[str]] = {}
    folders: dict[str, list[str]] = {}
    if held_out or any(place.split != "train" for place in other_places):
        folders = _folders([*filter(None, places.values()), *other_places])
        for name, place in places.items():
            groups.setdefault(place and place.split, []).append(name)
    else:
        groups[None] = list(files)
    has_train = "train" in folders
    outside = groups.pop(None, [])
    if not has_train:
        groups["train"], outside = outside, []
    left_out = [Unused(name, OUTSIDE) for name in outside]
    left_out += _repeated(files, groups)
    whole = "train/" if has_train else "the files outside of these folders" if folders else "all"
    names, origins = _hold_out(groups, folders, whole)
    empty = [split for split in ("train", "valid", "test") if not names.get(split)]
    if empty:
        raise InputError(
            f"{origin}: expected files for each of train, valid and test, received {len(files)}, "
            f"which leaves none for {' and '.join(empty)}"
            f"{_unusable_folders(folders, empty)}; add files"
        )
    return Deal({split: sorted(held) for split, held in names.items()}, origins, left_out)


def split_of(folder: str) -> str | None:
    """The split that the name of a folder stands for: `train`, `valid`, `test` or None."""
    words = {word.lower() for word in _WORDS.findall(folder)} - _NEUTRAL
    matches = {split for split, names in _NAMES.items() if words & names}
    return matches.pop() if len(matches) == 1 and len(words) == 1 else None


def _hold_out(
    groups: Mapping[str | None, list[str]], folders: Mapping[str, list[str]], whole: str
) -> tuple[dict[str, list[str]], dict[str, str]]:
    names = {"train": groups.get("train", [])}
    origins = {
        split: f"the user's: {' and '.join(patterns)}" for split, patterns in folders.items()
    }
    for split in ("test", "valid"):
        if split in folders:
            names[split] = groups.get(split, [])
        else:
            names[split], names["train"] = _tenth(names["train"])
            origins[split] = f"held out by ardm: a tenth of {whole}, chosen by file name"
    origins.setdefault("train", f"{whole}, without what is held out")
    return names, {split: origins[split] for split in ("train", "valid", "test")}


def _repeated(files: Mapping[str, str], groups: Mapping[str | None, list[str]]) -> list[Unused]:
    """If a file has several names, remove all but one from the groups, and return the others."""
    first: dict[str, str] = {}
    repeated = []
    for split in ("test", "valid", "train"):
        held = groups.get(split, [])
        # Names that are not links come first.
        for name in sorted(held, key=lambda name: (not files[name].endswith(f"/{name}"), name)):
            kept = first.setdefault(files[name], name)
            if kept != name:
                repeated.append(Unused(name, SAME_FILE, f"as {kept}"))
        removed = {file.name for file in repeated}
        held[:] = [name for name in held if name not in removed]
    return repeated


class _Place(NamedTuple):
    """The folder because of which a file belongs to a split."""

    split: str
    level: int
    folder: str


def _place(name: str) -> _Place | None:
    """The first folder of a path that stands for `valid` or `test`, else the first for `train`."""
    places = [
        _Place(split, level, folder)
        for level, folder in enumerate(name.split("/")[:-1])
        if (split := split_of(folder))
    ]
    held_out = [place for place in places if place.split != "train"]
    return next(iter(held_out or places), None)


def _common_folders(names: Iterable[str]) -> int:
    """Number of leading folders that all names share, not counting the folder of a split."""
    folders = [name.split("/")[:-1] for name in names]
    count = 0
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1 or split_of(parts[0]):
            break
        count += 1
    return count


def _folders(places: Iterable[_Place]) -> dict[str, list[str]]:
    """The folders of each split as patterns for messages, such as `*/train/`."""
    patterns: dict[str, set[str]] = {}
    for place in places:
        patterns.setdefault(place.split, set()).add("*/" * place.level + place.folder + "/")
    return {split: sorted(of_split) for split, of_split in patterns.items()}


def _unusable_folders(folders: Mapping[str, list[str]], empty: Sequence[str]) -> str:
    unusable = [folder for split in empty for folder in folders.get(split, [])]
    return f" (no image in {', '.join(unusable)} can be used)" if unusable else ""


def _tenth(names: Sequence[str]) -> tuple[list[str], list[str]]:
    ranked = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    count = max(1, len(ranked) // ONE_IN["images"])
    return ranked[:count], ranked[count:]

"""Which images are held out where the published data do not say: always the same ones."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ardm.data.dataset import Images
from ardm.data.provenance import Unused
from ardm.errors import InputError

ONE_IN = {"binarized_mnist": 6, "mnist": 6, "fashion_mnist": 6, "cifar10": 10, "images": 10}
"""The part of the training images that is `valid`: 10,000 of MNIST's 60,000, 5,000 of CIFAR-10's
50,000."""

OUTSIDE = "outside of the folders of splits"
SAME_FILE = "another name of a file that is used"

_NAMES = {
    "train": {"train", "training"},
    "valid": {"valid", "val", "validation", "validate", "dev", "eval", "evaluation"},
    "test": {"test", "testing"},
}
_NEUTRAL = {"image", "images", "img", "imgs", "data", "dataset", "set", "split", "x", "a", "b"}
"""Words that may stand beside the name of a split, as digits may: train_64x64, valImages2017."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def by_position(dataset: str, train: Images, test: Images) -> dict[str, Images]:
    """Hold out the last training images as `valid`, in their published order.

    Args:
        dataset: name of the data set, which fixes the part held out.
        train: uint8 `[N, H, W, C]`, of which the last `N // ONE_IN` (1 at least) become `valid`.
        test: likewise; stays as it is.

    Returns:
        The three splits.
    """
    valid = max(1, len(train) // ONE_IN[dataset])
    return {"train": train[:-valid], "valid": train[-valid:], "test": test}


def origins_by_position(dataset: str) -> dict[str, str]:
    """Say whose the splits of `by_position` are."""
    part = {6: "sixth", 10: "tenth"}[ONE_IN[dataset]]
    held_out = f"held out by ardm: the last {part} of the published training images"
    return {"train": "published, without the valid images", "valid": held_out, "test": "published"}


class Deal(NamedTuple):
    """Files dealt into splits.

    Attributes:
        names: of each split, in their order.
        origins: whose each split is, in words.
        left_out: files in no split.
    """

    names: dict[str, list[str]]
    origins: dict[str, str]
    left_out: list[Unused]


def by_name(files: Mapping[str, str], origin: str, others: Iterable[str] = ()) -> Deal:
    """Deal files into splits by their names alone.

    A folder `train`, `val` or `test` (or with another usual name, such as `validation` or
    `test_images`) holds a split, at any level. What lies below a `val` or a `test` is never in
    `train`. Where there is a `train` beside them, files in none of them are left out; else these
    are the training images. `train` without `val` and `test` is a folder like any other.

    A split without a folder is held out of the training images: a tenth, of the files whose names,
    hashed with SHA-256, come first (1 at least). So they are spread over folders of classes and
    over numbered files alike.

    Args:
        files: the identity of each image under its name relative to the root, folders with `/`.
            Of several names of one file the one in `test` counts, then `valid`, then `train`.
        origin: the root, for the message.
        others: names of files and folders (with `/` at the end) that are no images.

    Returns:
        The deal.

    Raises:
        InputError: a split would be empty.
    """
    places = {name: _place(name) for name in files}
    held_out = any(place and place.split != "train" for place in places.values())
    # What is no image speaks of splits only at the levels where images could.
    levels = {place.level for place in places.values() if place}
    levels = levels if held_out else {_common_folders(files)}
    told = [place for place in map(_place, others) if place and place.level in levels]
    groups: dict[str | None, list[str]] = {}
    folders: dict[str, list[str]] = {}
    if held_out or any(place.split != "train" for place in told):
        folders = _folders([*filter(None, places.values()), *told])
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
    whole = "train/" if has_train else "the images outside of these folders" if folders else "all"
    names, origins = _hold_out(groups, folders, whole)
    empty = [split for split in ("train", "valid", "test") if not names.get(split)]
    if empty:
        raise InputError(
            f"{origin}: expected images for each of train, valid and test, received {len(files)}, "
            f"which leaves none for {' and '.join(empty)}"
            f"{_told_folders(folders, empty)}; add images"
        )
    return Deal({split: sorted(held) for split, held in names.items()}, origins, left_out)


def split_of(folder: str) -> str | None:
    """The split that a folder holds by its name: `train`, `valid`, `test` or None."""
    words = {word.lower() for word in _WORDS.findall(folder)} - _NEUTRAL
    found = {split for split, names in _NAMES.items() if words & names}
    return found.pop() if len(found) == 1 and len(words) == 1 else None


def _hold_out(
    groups: Mapping[str | None, list[str]], folders: Mapping[str, list[str]], whole: str
) -> tuple[dict[str, list[str]], dict[str, str]]:
    names = {"train": groups.get("train", [])}
    origins = {split: f"the user's: {' and '.join(some)}" for split, some in folders.items()}
    for split in ("test", "valid"):
        if split in folders:
            names[split] = groups.get(split, [])
        else:
            names[split], names["train"] = _tenth(names["train"])
            origins[split] = f"held out by ardm: a tenth of {whole}, chosen by file name"
    origins.setdefault("train", f"{whole}, without what is held out")
    return names, {split: origins[split] for split in ("train", "valid", "test")}


def _repeated(files: Mapping[str, str], groups: Mapping[str | None, list[str]]) -> list[Unused]:
    """Take all names of a file but one out of the groups."""
    first: dict[str, str] = {}
    repeated = []
    for split in ("test", "valid", "train"):
        held = groups.get(split, [])
        # A name that is no link comes first.
        for name in sorted(held, key=lambda name: (not files[name].endswith(f"/{name}"), name)):
            kept = first.setdefault(files[name], name)
            if kept != name:
                repeated.append(Unused(name, SAME_FILE, f"as {kept}"))
        gone = {one.name for one in repeated}
        held[:] = [name for name in held if name not in gone]
    return repeated


class _Place(NamedTuple):
    """The folder that puts a file into a split."""

    split: str
    level: int
    folder: str


def _place(name: str) -> _Place | None:
    """The first folder of a path that holds validation or test images; else that of `train`."""
    found = [
        _Place(split, level, folder)
        for level, folder in enumerate(name.split("/")[:-1])
        if (split := split_of(folder))
    ]
    held_out = [place for place in found if place.split != "train"]
    return next(iter(held_out or found), None)


def _common_folders(names: Iterable[str]) -> int:
    """Number of folders that all names begin with, up to that of a split."""
    folders = [name.split("/")[:-1] for name in names]
    count = 0
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1 or split_of(parts[0]):
            break
        count += 1
    return count


def _folders(places: Iterable[_Place]) -> dict[str, list[str]]:
    """The folders of each split, as a person would write them."""
    found: dict[str, set[str]] = {}
    for place in places:
        found.setdefault(place.split, set()).add("*/" * place.level + place.folder + "/")
    return {split: sorted(some) for split, some in found.items()}


def _told_folders(folders: Mapping[str, list[str]], empty: Sequence[str]) -> str:
    some = [folder for split in empty for folder in folders.get(split, [])]
    return f" (no image in {', '.join(some)} can be used)" if some else ""


def _tenth(names: Sequence[str]) -> tuple[list[str], list[str]]:
    ranked = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    count = max(1, len(ranked) // ONE_IN["images"])
    return ranked[:count], ranked[count:]

"""Which images are held out where the published data do not say: always the same ones."""

import hashlib
from collections.abc import Sequence

from ardm.data.dataset import Images
from ardm.errors import InputError

ONE_IN = {"binarized_mnist": 6, "mnist": 6, "fashion_mnist": 6, "cifar10": 10, "images": 10}
"""The part of the training images that is `valid`: 10,000 of MNIST's 60,000, 5,000 of CIFAR-10's
50,000."""


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


def by_name(names: Sequence[str], origin: str) -> dict[str, list[str]]:
    """Deal files into splits by their names alone.

    With folders `train` and `test` (and `valid`, `val` or `validation`) each split is what lies
    below its folder, and other files are left out. Where `valid` is missing, it is a tenth of
    `train`. Without these folders a tenth of all is `test`, and another tenth `valid`. A tenth is
    the files whose names, hashed with SHA-256, come first (1 at least): they are spread over
    folders of classes and over numbered files alike.

    Args:
        names: of all images, relative to the root, folders with `/`.
        origin: the root, for the message.

    Returns:
        The names of the three splits, in the order of the names.

    Raises:
        InputError: a split would be empty.
    """
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.partition("/")[0] if "/" in name else "", []).append(name)
    given = folders.get("valid") or folders.get("validation") or folders.get("val")
    if "train" in folders and "test" in folders:
        train, test = folders["train"], folders["test"]
    else:
        test, train = _tenth(names)
        given = None
    valid, train = (given, train) if given else _tenth(train)
    splits = {"train": train, "valid": valid, "test": test}
    empty = [split for split, held in splits.items() if not held]
    if empty:
        raise InputError(
            f"{origin}: expected images for each of train, valid and test, received {len(names)}, "
            f"which leaves none for {' and '.join(empty)}; add images"
        )
    return {split: sorted(held) for split, held in splits.items()}


def _tenth(names: Sequence[str]) -> tuple[list[str], list[str]]:
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    count = max(1, len(ranked) // ONE_IN["images"])
    return ranked[:count], ranked[count:]

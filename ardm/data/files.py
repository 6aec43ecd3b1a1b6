"""Data sets from the user's files: IDX files, CIFAR-10's batches, or images.

A folder, or one folder below it, may hold:

- `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte` (or `.idx3-ubyte`; plain or `.gz`) for
  `binarized_mnist`, `mnist` and `fashion_mnist`;
- `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin` for `cifar10`;
- images of one size for any data set; `images` is read from such folders only
  (`ardm.data.image_folder`).

`ardm.data.splits` decides which images are in which split. `binarized_mnist` is drawn from gray
values by the recipe of the bundled file. If these are MNIST's, the result equals the bundled file.
"""

from collections.abc import Sequence

import numpy as np

from ardm.data import formats, image_folder, splits
from ardm.data.binarize import binarize_splits, dynamic_splits
from ardm.data.config import DataConfig, describe
from ardm.data.dataset import Dataset, Images
from ardm.data.folder import Folder
from ardm.data.provenance import Report, Unused
from ardm.errors import InputError

IDX_TRAIN, IDX_TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"
IDX_FILES = (IDX_TRAIN, IDX_TEST)
BESIDE = "beside the published files"
WANTED = {
    "binarized_mnist": IDX_FILES,
    "mnist": IDX_FILES,
    "fashion_mnist": IDX_FILES,
    "cifar10": (*formats.TRAIN, formats.TEST),
    "images": (),
}


def read(config: DataConfig) -> Dataset:
    """Read a data set from its folder.

    Args:
        config: the `data` section, with `source: files`.

    Returns:
        The data set.

    Raises:
        InputError: files are missing or damaged, or images have the wrong shape.
    """
    folder = Folder(str(config.path))
    listing = folder.listing(advice=_advice(config.dataset))
    names = list(listing.files)
    published = locate(folder, names, WANTED[config.dataset])
    shape, classes = describe(config)
    if published:
        images = _published(config.dataset, folder, published, shape)
        others = [Unused(name, BESIDE) for name in names if name not in published.values()]
        origins = splits.origins_by_position(config.dataset)
        report = Report(origins, [*listing.unused, *others])
    elif image_folder.images_among(listing):
        images, report = image_folder.read(folder, listing, shape)
    else:
        wanted = " and ".join(filter(None, (", ".join(WANTED[config.dataset]), "no image")))
        raise InputError(
            f"{folder.url}: expected the files of {config.dataset}, found none of {wanted}; "
            f"{_advice(config.dataset)}"
        )
    dynamic = config.binarize == "dynamic"
    if config.dataset == "binarized_mnist":
        images = dynamic_splits(images) if dynamic else binarize_splits(images)
    return Dataset.of(config.dataset, classes, images, report, dynamic=dynamic)


def locate(folder: Folder, names: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Find the files of a published data set, which must be in one folder together.

    Args:
        folder: the folder, for error messages.
        names: names of all its files, relative to the folder.
        wanted: names of the files as they are published.

    Returns:
        The relative name of each file under its published name; empty if there is none of them.

    Raises:
        InputError: only some of the files are there, or they are in several folders.
    """
    by_folder: dict[str, dict[str, str]] = {}
    for name in sorted(names):  # a plain file comes before its packed copy
        parent, _, file = name.rpartition("/")
        published = file.removesuffix(".gz").replace(".idx3-", "-idx3-")
        if published in wanted:
            by_folder.setdefault(parent, {}).setdefault(published, name)
    if len(by_folder) > 1:
        raise InputError(
            f"{folder.url}: expected one folder with {wanted[0]}, found it or its companions in "
            f"{', '.join(sorted(by_folder))}; name one of these"
        )
    files = next(iter(by_folder.values()), {})
    missing = [name for name in wanted if name not in files]
    if files and missing:
        raise InputError(
            f"{folder.url}: expected {', '.join(missing)} beside {next(iter(files.values()))}, "
            "found no such file; add it"
        )
    return files


def _published(
    dataset: str, folder: Folder, files: dict[str, str], shape: tuple[int, int, int]
) -> dict[str, Images]:
    parse, train = (
        (formats.parse_cifar, formats.TRAIN)
        if dataset == "cifar10"
        else (formats.parse_idx, (IDX_TRAIN,))
    )
    arrays = {}
    for published, name in files.items():
        origin = f"{folder.url}/{name}"
        arrays[published] = images = parse(folder.read(name), origin)
        if images.shape[1:] != shape or len(images) < 2:
            raise InputError(
                f"{origin}: expected several images of {shape[0]}x{shape[1]}x{shape[2]} for "
                f"{dataset}, received an array {images.shape}"
            )
    (test,) = (arrays[name] for name in files if name not in train)
    return splits.by_position(dataset, np.concatenate([arrays[name] for name in train]), test)


def _advice(dataset: str) -> str:
    if dataset == "images":
        return "give a folder of images"
    advice = "check `path`, or use `source: tfds`, which downloads them"
    if dataset == "fashion_mnist":
        advice += " (Debian has them in the package dataset-fashion-mnist)"
    return advice

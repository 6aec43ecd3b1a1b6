"""The published data sets, through TensorFlow Datasets: downloaded once, then shared in a cache."""

import contextlib
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from ardm.data import cache as shared
from ardm.data.dataset import Dataset
from ardm.data.packed import pack, unpack
from ardm.errors import InputError

# Ours on the left, TFDS's on the right.
SPLITS = {"train": "train", "valid": "validation", "test": "test"}
CLASSES = {"binarized_mnist": 2}
REACH_TIMEOUT = 10.0  # seconds

# Makes a `tfds.core.DatasetBuilder` that works in the directory given.
MakeBuilder = Callable[[str], Any]


def _binarized_mnist(directory: str) -> Any:
    # Imported on use: takes a second, and only the process that prepares the data needs it.
    from ardm.data.tfds_builders import BinarizedMnist

    return BinarizedMnist(data_dir=directory, file_format="array_record")


def read(name: str, cache: str | None, make_builder: MakeBuilder = _binarized_mnist) -> Dataset:
    """Read a data set from the cache; if it is not there, download it and put it there.

    Args:
        name: of the data set.
        cache: a directory as an fsspec URL. Without one, what was downloaded is not kept.
        make_builder: of its TFDS builder; used only if the cache does not have the data set.

    Returns:
        The data set. Its images come in TFDS's order, which is fixed.

    Raises:
        InputError: the download failed, or the cached file is damaged.
        StoreUnusable: `cache` cannot be read or written.
    """
    if cache is None:
        return prepare(name, make_builder)
    url = f"{cache.rstrip('/')}/{name}.tfds.xz"
    content = shared.fetch(url)
    if content is None:
        content = shared.publish(url, pack(prepare(name, make_builder)))
    return unpack(content, origin=url)


def prepare(name: str, make_builder: MakeBuilder) -> Dataset:
    """Download a data set and convert it, in a temporary directory.

    Args:
        name: of the data set.
        make_builder: of its TFDS builder.

    Returns:
        The data set.

    Raises:
        InputError: the download failed.
    """
    # TFDS announces its downloads on stdout, which belongs to the answers of our commands.
    with (
        # After a failed download its other downloads still write for a moment.
        tempfile.TemporaryDirectory("-ardm-tfds", ignore_cleanup_errors=True) as directory,
        contextlib.redirect_stdout(sys.stderr),
    ):
        builder = make_builder(directory)
        _download(name, builder)
        splits = {
            ours: np.stack([example["image"] for example in builder.as_data_source(theirs)])
            for ours, theirs in SPLITS.items()
        }
    return Dataset.of(name, CLASSES[name], splits)


def _download(name: str, builder: Any) -> None:
    import requests
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    try:
        # TFDS 4.9 retries for more than three minutes before it gives up: look first.
        for url in list(builder.url_infos or {})[:1]:
            requests.get(url, stream=True, timeout=REACH_TIMEOUT).close()
        builder.download_and_prepare(file_format="array_record")
    except (OSError, DownloadError, NonMatchingChecksumError) as error:
        raise InputError(
            f"data set {name}, source tfds: expected to download its published files, received "
            f"{type(error).__name__}: {error}; check this machine's network and "
            "disk, or use `data: {source: bundled}`, which needs neither"
        ) from error

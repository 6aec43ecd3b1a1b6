"""Published data sets from TensorFlow Datasets: downloaded once, then shared in a cache."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ardm.data import cache as shared
from ardm.data.bundled import pack, unpack
from ardm.data.config import KNOWN
from ardm.data.dataset import Dataset, Images
from ardm.data.provenance import Report
from ardm.data.splits import by_position, origins_by_position
from ardm.errors import DataUnreachable, InputError

# Names of classes in `ardm.data.tfds_builders`.
BUILDERS = {
    "binarized_mnist": "BinarizedMnist",
    "mnist": "Mnist",
    "fashion_mnist": "FashionMnist",
    "cifar10": "Cifar10",
}
REACH_TIMEOUT = 10.0
"""Seconds within which the server of the files must answer."""

MakeBuilder = Callable[[str], Any]
"""Makes a `tfds.core.DatasetBuilder` that works in the given directory."""


def read(name: str, cache: str | None, make_builder: MakeBuilder | None = None) -> Dataset:
    """Read a data set from the cache; if it is not there, download it and add it to the cache.

    Args:
        name: name of the data set.
        cache: a directory as an fsspec URL. Without it the download is not kept.
        make_builder: makes the TFDS builder, by default one of `ardm.data.tfds_builders`. It is
            used only if the data set is not in the cache.

    Returns:
        The data set. The images of `binarized_mnist` are in TFDS's order, which is fixed; those of
        other data sets are in the published order. If no validation images are published,
        `ardm.data.splits` holds some out.

    Raises:
        InputError: the downloaded or cached files are damaged.
        DataUnreachable: the download failed.
        StoreUnusable: `cache` cannot be read or written.
    """
    make_builder = make_builder or builder_of(name)
    origins = {} if name == "binarized_mnist" else origins_by_position(name)
    if cache is None:
        return replace(prepare(name, make_builder), report=Report(origins))
    url = f"{cache.rstrip('/')}/{name}.tfds.xz"
    content = shared.fetch(url)
    if content is None:
        content = shared.publish(url, pack(prepare(name, make_builder)))
    return replace(unpack(content, origin=url), report=Report(origins))


def prepare(name: str, make_builder: MakeBuilder) -> Dataset:
    """Download a data set and convert it, in a temporary directory.

    Args:
        name: name of the data set.
        make_builder: makes its TFDS builder.

    Returns:
        The data set.

    Raises:
        InputError: the downloaded files are damaged.
        DataUnreachable: the download failed.
    """
    # TFDS reports downloads on stdout, which is reserved for the output of ardm's commands.
    with (
        # After one download fails, TFDS's other downloads still write files for a moment.
        tempfile.TemporaryDirectory(
            prefix=f"ardm-{os.getpid()}-tfds-", ignore_cleanup_errors=True
        ) as directory,
        contextlib.redirect_stdout(sys.stderr),
    ):
        builder = make_builder(directory)
        _download(name, builder)
        arrays = {split: _images(builder, split) for split in builder.info.splits}
    if "validation" in arrays:
        splits = {"train": arrays["train"], "valid": arrays["validation"], "test": arrays["test"]}
    else:
        splits = by_position(name, arrays["train"], arrays["test"])
    return Dataset.of(name, KNOWN[name][1], splits)


def builder_of(name: str) -> MakeBuilder:
    """What makes the TFDS builder of a data set, with its files in a directory."""

    def make(directory: str) -> Any:
        # Imported on use: the import takes a second, and only preparing the data needs it.
        from ardm.data import tfds_builders

        builder = getattr(tfds_builders, BUILDERS[name])
        return builder(data_dir=directory, file_format="array_record")

    return make


def _images(builder: Any, split: str) -> Images:
    return np.stack([example["image"] for example in builder.as_data_source(split)])


def _download(name: str, builder: Any) -> None:
    import requests
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    try:
        # TFDS 4.9 retries for more than three minutes, so test the connection first.
        for url in list(builder.url_infos or {})[:1]:
            requests.get(url, stream=True, timeout=REACH_TIMEOUT).close()
        builder.download_and_prepare(file_format="array_record")
    except (OSError, DownloadError, NonMatchingChecksumError) as error:
        damaged = isinstance(error, NonMatchingChecksumError)
        raise (InputError if damaged else DataUnreachable)(
            f"data set {name}, source tfds: expected to download its published files, received "
            f"{type(error).__name__}: {error}; check this machine's network and "
            f"disk, or use {_instead(name)}, which needs no network"
        ) from error


def _instead(name: str) -> str:
    if name == "binarized_mnist":
        return "`data: {source: bundled}`"
    return "copies of these files with `data: {source: files, path: FOLDER}`"

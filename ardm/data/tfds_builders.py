"""TFDS's builders, changed so that they do not need TensorFlow.

URLs, checksums and published splits are those of TFDS.
"""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download.checksums import load_url_infos
from tensorflow_datasets.datasets.binarized_mnist import (
    binarized_mnist_dataset_builder as published,
)
from tensorflow_datasets.image_classification import cifar, mnist

from ardm.data import formats
from ardm.data.config import KNOWN
from ardm.data.dataset import Images

CHECKSUMS = Path(tfds.__file__).parent / "url_checksums"
IDX_SPLITS = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
Examples = Iterator[tuple[int, dict[str, Any]]]


class BinarizedMnist(published.Builder, skip_registration=True):  # type: ignore[call-arg]
    """The binarized MNIST of Larochelle and Murray (2011), as published.

    Only the reading of the files differs from TFDS's builder: TFDS 4.9 reads them with
    `tf.io.gfile`, and encodes arrays (but not PIL images) with `tf.image`.
    """

    name = "binarized_mnist"
    # Without these two, TFDS would look for its files beside this one. (The `url_infos` of TFDS's
    # builder needs importlib_resources, which TFDS 4.9.10 imports without depending on it.)
    pkg_dir_path = published.Builder._get_pkg_dir_path()
    url_infos = load_url_infos(pkg_dir_path / "checksums.tsv")

    def _generate_examples(self, data_path: os.PathLike[str]) -> Examples:
        """Yield the images of a text file, each of which is a line of 784 numbers."""
        yield from _examples(np.loadtxt(data_path, dtype=np.uint8, ndmin=2).reshape(-1, 28, 28, 1))


class Mnist(mnist.MNIST, skip_registration=True):  # type: ignore[call-arg]
    """MNIST as published, without the labels, in the published order.

    TFDS's own order is shuffled. With it, other images would be held out for validation than with
    `source: files`.
    """

    name = "mnist"
    url_infos = load_url_infos(CHECKSUMS / "mnist.txt")

    def _info(self) -> tfds.core.DatasetInfo:
        return _images_in_order(self, "mnist")

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
        files = dl_manager.download({split: self.URL + name for split, name in IDX_SPLITS.items()})
        return {
            split: _examples(formats.parse_idx(Path(file).read_bytes(), IDX_SPLITS[split]))
            for split, file in files.items()
        }


class FashionMnist(Mnist, skip_registration=True):  # type: ignore[call-arg]
    """Fashion-MNIST as published, without the labels, in the published order."""

    name = "fashion_mnist"
    URL = mnist.FashionMNIST.URL
    url_infos = load_url_infos(CHECKSUMS / "fashion_mnist.txt")


class Cifar10(cifar.Cifar10, skip_registration=True):  # type: ignore[call-arg]
    """CIFAR-10 as published, without the labels, in the published order."""

    name = "cifar10"
    url_infos = load_url_infos(CHECKSUMS / "cifar10.txt")

    def _info(self) -> tfds.core.DatasetInfo:
        return _images_in_order(self, "cifar10")

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
        archive = dl_manager.download(self._cifar_info.url)
        splits = {"train": formats.TRAIN, "test": (formats.TEST,)}
        return {
            split: _examples(np.concatenate([self._batch(archive, file) for file in files]))
            for split, files in splits.items()
        }

    def _batch(self, archive: os.PathLike[str], file: str) -> Images:
        with tarfile.open(archive) as members:
            member = members.extractfile(self._cifar_info.prefix + file)
            return formats.parse_cifar(member.read() if member else b"", file)


def _images_in_order(builder: Any, name: str) -> tfds.core.DatasetInfo:
    shape, _ = KNOWN[name]
    features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=shape)})
    return tfds.core.DatasetInfo(builder=builder, features=features, disable_shuffling=True)


def _examples(images: Images) -> Examples:
    for index, image in enumerate(images):
        yield index, {"image": Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)}

"""TFDS's own builders, changed where they need TensorFlow, which this project does not have."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from tensorflow_datasets.core.download.checksums import load_url_infos
from tensorflow_datasets.datasets.binarized_mnist import (
    binarized_mnist_dataset_builder as published,
)


class BinarizedMnist(published.Builder, skip_registration=True):  # type: ignore[call-arg]
    """The binarized MNIST of Larochelle and Murray (2011), as published.

    URLs, checksums, splits and features are TFDS's; only the reading of the files is ours. TFDS
    4.9 reads them with `tf.io.gfile`, and encodes arrays (but not PIL images) with `tf.image`.
    """

    name = "binarized_mnist"
    # Both would otherwise be looked for beside this file. (The builder's own `url_infos` wants
    # importlib_resources, which TFDS 4.9.10 imports without depending on it.)
    pkg_dir_path = published.Builder._get_pkg_dir_path()
    url_infos = load_url_infos(pkg_dir_path / "checksums.tsv")

    def _generate_examples(
        self, data_path: os.PathLike[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the images of one file of text, an image of 784 numbers on each line."""
        images = np.loadtxt(data_path, dtype=np.uint8, ndmin=2).reshape(-1, 28, 28)
        for index, image in enumerate(images):
            yield index, {"image": Image.fromarray(image)}

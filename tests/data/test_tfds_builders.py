"""The builders of 256-class data sets, on small files from a server in this process."""

import gzip
import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.utils import Size

from ardm.data import tfds, tfds_builders
from ardm.data.config import DataConfig
from ardm.data.dataset import load
from tests.data.published import IDX_NAMES, random_images, serve, write_cifar, write_idx

GRAY, COLOR = (28, 28, 1), (32, 32, 3)


@pytest.fixture
def files(tmp_path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def served(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    with serve(folder) as url:
        yield folder, url


def url_infos(folder: Path, url: str) -> dict[str, UrlInfo]:
    return {
        f"{url}/{file.name}": UrlInfo(
            size=Size(file.stat().st_size),
            checksum=hashlib.sha256(file.read_bytes()).hexdigest(),
            filename=file.name,
        )
        for file in folder.iterdir()
    }


@pytest.mark.parametrize(
    ("name", "builder"),
    [("mnist", tfds_builders.Mnist), ("fashion_mnist", tfds_builders.FashionMnist)],
)
def test_what_is_downloaded_equals_what_is_read_from_the_files(name, builder, files, served):
    folder, url = served
    write_idx(files, random_images(60, GRAY, 1), random_images(7, GRAY, 2))
    for file in IDX_NAMES.values():
        (folder / f"{file}.gz").write_bytes(gzip.compress((files / file).read_bytes()))

    def make_builder(directory):
        class Small(builder, skip_registration=True):
            URL = f"{url}/"
            url_infos = url_infos(folder, url)

        return Small(data_dir=directory, file_format="array_record")

    downloaded = tfds.read(name, None, make_builder)
    read = load(DataConfig(dataset=name, source="files", path=str(files)))
    assert [len(downloaded.train), len(downloaded.valid), len(downloaded.test)] == [50, 10, 7]
    assert (downloaded.name, downloaded.classes) == (name, 256)
    assert downloaded.sha256 == read.sha256


def test_cifar10_too_and_its_cache(files, served, tmp_path):
    folder, url = served
    write_cifar(files, random_images(50, COLOR, 1), random_images(7, COLOR, 2))
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as archive:
        archive.add(files, "cifar-10-batches-bin")

    def make_builder(directory):
        class Small(tfds_builders.Cifar10, skip_registration=True):
            url_infos = url_infos(folder, url)

            @property
            def _cifar_info(self):
                info = super()._cifar_info  # private: where TFDS has the address
                return info._replace(url=f"{url}/cifar.tar.gz")

        return Small(data_dir=directory, file_format="array_record")

    downloaded = tfds.read("cifar10", str(tmp_path / "cache"), make_builder)
    read = load(DataConfig(dataset="cifar10", source="files", path=str(files)))
    assert [len(downloaded.train), len(downloaded.valid), len(downloaded.test)] == [45, 5, 7]
    assert downloaded.sha256 == read.sha256
    cached = load(DataConfig(dataset="cifar10", source="tfds"), str(tmp_path / "cache"))
    np.testing.assert_array_equal(cached.train, read.train)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_the_real_files_are_those_that_tfds_knows(name, tmp_path):
    builder = tfds.builder_of(name)(str(tmp_path))
    sizes = {info.filename: int(info.size) for info in builder.url_infos.values()}
    expected = {
        "mnist": ("train-images-idx3-ubyte.gz", 9_912_422),
        "fashion_mnist": ("train-images-idx3-ubyte.gz", 26_421_880),
        "cifar10": ("cifar-10-binary.tar.gz", 170_052_171),
    }[name]
    assert expected in sizes.items()

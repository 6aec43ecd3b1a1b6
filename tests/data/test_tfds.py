"""The TFDS source on a small data set, downloaded from a server in this process."""

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest

from ardm.data import tfds
from ardm.data.config import DataConfig
from ardm.data.dataset import load
from ardm.data.tfds_builders import BinarizedMnist
from ardm.errors import DataUnreachable, InputError, StoreUnusable
from tests.data.published import serve

SIZES = {"train": 20, "validation": 5, "test": 7}


class Published:
    """Small files in the published format behind a URL, and the builder that downloads them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.builders_made = 0
        rng = np.random.default_rng(0)
        self.images = {
            split: rng.integers(0, 2, (size, 28, 28, 1), dtype=np.uint8)
            for split, size in SIZES.items()
        }
        for split, images in self.images.items():
            np.savetxt(folder / f"{split}.amat", images.reshape(len(images), -1), fmt="%d")

    def make_builder(self, directory: str) -> BinarizedMnist:
        from tensorflow_datasets.core.download.checksums import UrlInfo
        from tensorflow_datasets.core.utils import Size

        urls = {split: f"{self.url}/{split}.amat" for split in SIZES}
        contents = {split: (self.folder / f"{split}.amat").read_bytes() for split in SIZES}

        class Small(BinarizedMnist, skip_registration=True):
            url_infos = {  # noqa: RUF012
                urls[split]: UrlInfo(
                    size=Size(len(content)),
                    checksum=hashlib.sha256(content).hexdigest(),
                    filename=f"{split}.amat",
                )
                for split, content in contents.items()
            }

            def _split_generators(self, dl_manager):
                files = dl_manager.download(urls)
                return {split: self._generate_examples(file) for split, file in files.items()}

        self.builders_made += 1
        return Small(data_dir=directory, file_format="array_record")


@pytest.fixture
def published(tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    with serve(folder) as url:
        yield Published(folder, url)


def as_set(images: np.ndarray) -> list[bytes]:
    return sorted(image.tobytes() for image in images)


def test_images_are_those_that_were_published(published):
    dataset = tfds.read("binarized_mnist", None, published.make_builder)
    assert (dataset.name, dataset.shape, dataset.classes) == ("binarized_mnist", (28, 28, 1), 2)
    assert as_set(dataset.train) == as_set(published.images["train"])
    assert as_set(dataset.valid) == as_set(published.images["validation"])
    assert as_set(dataset.test) == as_set(published.images["test"])


def test_two_that_prepare_get_equal_data(published):
    one, other = (tfds.read("binarized_mnist", None, published.make_builder) for _ in range(2))
    assert one.sha256 == other.sha256


def test_one_prepares_and_all_read(published, tmp_path):
    cache = str(tmp_path / "cache")
    first = tfds.read("binarized_mnist", cache, published.make_builder)
    second = tfds.read("binarized_mnist", cache, published.make_builder)
    assert published.builders_made == 1
    assert first.sha256 == second.sha256
    assert load(DataConfig(source="tfds"), cache).sha256 == first.sha256


def test_a_damaged_cache_is_refused(published, tmp_path):
    tfds.read("binarized_mnist", str(tmp_path), published.make_builder)
    file = tmp_path / "binarized_mnist.tfds.xz"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"binarized_mnist\.tfds\.xz.*delete the file"):
        tfds.read("binarized_mnist", str(tmp_path), published.make_builder)


def test_an_unusable_cache_is_found_before_the_download(published, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnusable):
        tfds.read("binarized_mnist", str(tmp_path / "file"), published.make_builder)
    assert published.builders_made == 0


def test_stdout_stays_free(published, capfd):
    tfds.read("binarized_mnist", None, published.make_builder)
    assert capfd.readouterr().out == ""


def test_without_a_network_the_error_says_what_to_do(published):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, but nobody listens: connections are refused
        published.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(DataUnreachable, match=r"source tfds.*ConnectionError.*source: bundled"):
            tfds.read("binarized_mnist", None, published.make_builder)


def test_a_file_that_is_gone_is_named(published):
    def make_builder(directory):
        builder = published.make_builder(directory)
        (published.folder / "test.amat").unlink()
        return builder

    with pytest.raises(InputError, match=r"DownloadError.*test\.amat.*404"):
        tfds.read("binarized_mnist", None, make_builder)


def test_other_content_than_published_is_refused(published):
    def make_builder(directory):
        builder = published.make_builder(directory)
        (published.folder / "test.amat").write_text("0 1")
        return builder

    with pytest.raises(InputError, match=r"(?s)NonMatchingChecksumError.*test\.amat"):
        tfds.read("binarized_mnist", None, make_builder)


def test_the_real_files_have_the_published_digests():
    assert len(BinarizedMnist.url_infos) == 3
    sizes = sorted(int(info.size) for info in BinarizedMnist.url_infos.values())
    assert sizes == [10_000 * 784 * 2, 10_000 * 784 * 2, 50_000 * 784 * 2]

import pytest
from pydantic import ValidationError

from ardm.data.config import DataConfig, describe
from ardm.errors import InputError


def test_defaults_need_no_network():
    assert DataConfig() == DataConfig(dataset="binarized_mnist", source="bundled")


@pytest.mark.parametrize("section", [{"dataset": "mnits"}, {"source": "disk"}, {"file": "x"}])
def test_what_is_not_known_is_a_fault(section):
    with pytest.raises(ValidationError):
        DataConfig(**section)


@pytest.mark.parametrize(
    ("dataset", "shape", "classes"),
    [
        ("mnist", (28, 28, 1), 256),
        ("fashion_mnist", (28, 28, 1), 256),
        ("cifar10", (32, 32, 3), 256),
        ("binarized_mnist", (28, 28, 1), 2),
    ],
)
def test_published_data_are_described_without_their_files(dataset, shape, classes):
    for section in ({"source": "tfds"}, {"source": "files", "path": "/no/such/folder"}):
        assert describe(DataConfig(dataset=dataset, **section)) == (shape, classes)


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"dataset": "cifar10"}, r"source: cifar10 is not in the package; choose from tfds, files"),
        ({"dataset": "images"}, r"source: bundled has no free images"),
        ({"dataset": "images", "source": "tfds"}, r"source: tfds has no free images"),
        ({"dataset": "mnist", "source": "files"}, r"path: required with source: files"),
        ({"path": "x"}, r"path: source bundled reads no folder"),
        ({"source": "files", "path": ""}, r"path"),
        ({"binarize": "dynamic"}, r"binarize: the bundled images are binary already"),
        (
            {"dataset": "mnist", "source": "tfds", "binarize": "dynamic"},
            r"binarize: mnist is not binarized",
        ),
        ({"shape": (28, 28, 1)}, r"shape: binarized_mnist always has 28x28x1"),
    ],
)
def test_what_does_not_go_together_is_told_with_the_key(section, fault):
    with pytest.raises(ValidationError, match=fault):
        DataConfig(**section)


def test_a_relative_path_is_of_the_directory_where_the_job_was_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = DataConfig(dataset="mnist", source="files", path="data/../mnist")
    assert section.path == str(tmp_path.resolve() / "mnist")
    monkeypatch.chdir("/")
    assert DataConfig.model_validate_json(section.model_dump_json()) == section


def test_an_address_stays_as_it_is():
    section = DataConfig(dataset="mnist", source="files", path="gs://bucket/a/../b")
    assert section.path == "gs://bucket/a/../b"


IMAGES = {"dataset": "images", "source": "files", "path": "/no/such/folder"}


def test_free_images_are_described_once_their_shape_is_known():
    section = DataConfig(**IMAGES)
    assert section.needs_shape
    with pytest.raises(InputError, match=r"/no/such/folder: expected data\.shape"):
        describe(section)
    section = DataConfig(**IMAGES, shape=(4, 6, 3))
    assert not section.needs_shape
    assert describe(section) == ((4, 6, 3), 256)


def test_only_square_images_are_turned():
    section = IMAGES | {"shape": (4, 6, 3)}
    DataConfig(**section, augment={"flip": True})
    with pytest.raises(ValidationError, match=r"augment\.quarter_turns: the images are 4x6"):
        DataConfig(**section, augment={"quarter_turns": True})

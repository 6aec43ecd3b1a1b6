import gzip

import numpy as np
import pytest
from PIL import Image

from ardm.data import bundled
from ardm.data.config import DataConfig
from ardm.data.dataset import SPLITS, Dataset, load
from ardm.data.image_folder import measure
from ardm.errors import InputError
from tests.data.published import IDX_NAMES, random_images, write_cifar, write_idx

GREY, COLOUR = (28, 28, 1), (32, 32, 3)
TRAIN, TEST = random_images(12, GREY, 1), random_images(5, GREY, 2)


def section(dataset, path, **more) -> DataConfig:
    return DataConfig(dataset=dataset, source="files", path=str(path), **more)


def read(dataset, path) -> Dataset:
    shape = measure(str(path)) if dataset == "images" else None
    return load(section(dataset, path, shape=shape))


def whole(dataset: Dataset) -> np.ndarray:
    return np.concatenate([getattr(dataset, split) for split in SPLITS])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_are_read_in_their_order(tmp_path, name):
    write_idx(tmp_path, TRAIN, TEST)
    dataset = read(name, tmp_path)
    assert (dataset.name, dataset.shape, dataset.classes) == (name, GREY, 256)
    np.testing.assert_array_equal(dataset.train, TRAIN[:10])
    np.testing.assert_array_equal(dataset.valid, TRAIN[10:])
    np.testing.assert_array_equal(dataset.test, TEST)


@pytest.mark.parametrize("place", [".", "MNIST/raw"])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_the_usual_names_and_places_of_idx_files(tmp_path, place, dotted, packed):
    write_idx(tmp_path, TRAIN, TEST)
    expected = read("mnist", tmp_path).sha256
    folder = tmp_path / "new" / place
    folder.mkdir(parents=True)
    for name in IDX_NAMES.values():
        content = (tmp_path / name).read_bytes()
        to = (name.replace("-idx3", ".idx3") if dotted else name) + (".gz" if packed else "")
        (folder / to).write_bytes(gzip.compress(content) if packed else content)
    assert read("mnist", tmp_path / "new").sha256 == expected


def test_binarized_mnist_is_drawn_as_the_bundled_one(tmp_path):
    """Where all is black or white nothing is left to chance; the recipe has its own tests."""
    data = bundled.read()
    write_idx(tmp_path, data.train[:12] * 255, data.test[:5] * 255)
    dataset = read("binarized_mnist", tmp_path)
    assert dataset.classes == 2
    np.testing.assert_array_equal(whole(dataset)[:12], data.train[:12])
    write_idx(tmp_path, np.full((1000, 28, 28, 1), 100, np.uint8), TEST)
    assert read("binarized_mnist", tmp_path).train.mean() == pytest.approx(100 / 255, abs=0.005)


def test_dynamic_binarization_keeps_gray_values_to_train_on(tmp_path):
    write_idx(tmp_path, TRAIN, TEST)
    static = read("binarized_mnist", tmp_path)
    dynamic = load(section("binarized_mnist", tmp_path, binarize="dynamic"))
    np.testing.assert_array_equal(dynamic.train, TRAIN[:10])
    for split in SPLITS:
        # What is evaluated is drawn once for all.
        np.testing.assert_array_equal(dynamic.images(split), static.images(split))
    assert dynamic.classes == static.classes == 2
    assert dynamic.sha256 != static.sha256
    assert dynamic.describe().startswith("data set binarized_mnist (dynamic): train 10")
    assert dynamic.as_json()["dataset"] == "binarized_mnist (dynamic)"
    assert static.title == "binarized_mnist"


def test_cifar_batches_are_read_in_their_order(tmp_path):
    train, test = random_images(20, COLOUR, 1), random_images(3, COLOUR, 2)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    write_cifar(folder, train, test)
    (folder / "batches.meta.txt").write_text("airplane\n")
    dataset = read("cifar10", tmp_path)
    assert (dataset.shape, dataset.classes) == (COLOUR, 256)
    np.testing.assert_array_equal(dataset.train, train[:18])
    np.testing.assert_array_equal(dataset.valid, train[18:])
    np.testing.assert_array_equal(dataset.test, test)


def save_splits(folder, images) -> None:
    for split, part in zip(SPLITS, np.array_split(images, 3), strict=True):
        (folder / split).mkdir(parents=True)
        for number, image in enumerate(part):
            Image.fromarray(image.squeeze()).save(folder / split / f"{number}.png")


@pytest.mark.parametrize(
    ("name", "shape"), [("mnist", GREY), ("cifar10", COLOUR), ("images", (6, 10, 3))]
)
def test_any_data_set_comes_from_images_too(tmp_path, name, shape):
    images = random_images(9, shape)
    save_splits(tmp_path, images)
    dataset = read(name, tmp_path)
    assert (dataset.name, dataset.shape, dataset.classes) == (name, shape, 256)
    np.testing.assert_array_equal(whole(dataset), images)


def test_images_and_idx_files_of_equal_grey_values_are_equally_binarized(tmp_path):
    images = random_images(18, GREY)
    (tmp_path / "idx").mkdir()
    write_idx(tmp_path / "idx", images[:12], images[12:])
    splits = {"train": images[:10], "valid": images[10:12], "test": images[12:]}
    for split, part in splits.items():
        (tmp_path / "png" / split).mkdir(parents=True)
        for number, image in enumerate(part):
            Image.fromarray(image.squeeze()).save(tmp_path / "png" / split / f"{number:02d}.png")
    one, other = (read("binarized_mnist", tmp_path / kind) for kind in ("idx", "png"))
    assert one.sha256 == other.sha256


def test_images_behind_an_address(bucket):
    import fsspec

    url = f"{bucket}/images"
    images = random_images(6, (4, 4, 1))
    for number, image in enumerate(images):
        with fsspec.open(f"{url}/{number}.png", "wb") as file:
            Image.fromarray(image.squeeze()).save(file, "png")
    dataset = read("images", url)
    assert dataset.shape == (4, 4, 1)
    assert {image.tobytes() for image in whole(dataset)} == {image.tobytes() for image in images}


def test_an_image_that_changed_its_size_since_the_job_was_read_is_named(tmp_path):
    save_splits(tmp_path, random_images(9, (4, 4, 1)))
    job = section("images", tmp_path, shape=(4, 4, 1))
    Image.new("L", (5, 4)).save(tmp_path / "test" / "0.png")
    assert load(job).report.warnings() == [
        "left out, wrong size: 1 (test/0.png (5 wide and 4 high))"
    ]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("mnist", "found none of train-images-idx3-ubyte.*or use `source: tfds`"),
        ("fashion_mnist", "package dataset-fashion-mnist"),
        ("cifar10", "found none of data_batch_1.bin.*no image"),
    ],
)
def test_a_folder_without_the_files_says_which_are_wanted(tmp_path, name, fault):
    (tmp_path / "readme.txt").write_text("")
    with pytest.raises(InputError, match=fault):
        read(name, tmp_path)


def test_a_folder_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"none: expected a folder, found none.*tfds"):
        read("mnist", tmp_path / "none")


def test_a_missing_companion_is_named(tmp_path):
    write_idx(tmp_path, TRAIN, TEST)
    (tmp_path / IDX_NAMES["test"]).unlink()
    with pytest.raises(InputError, match="expected t10k-images-idx3-ubyte beside train-images"):
        read("mnist", tmp_path)


def test_two_data_sets_below_one_folder_are_refused(tmp_path):
    for name in ("MNIST", "FashionMNIST"):
        (tmp_path / name).mkdir()
        write_idx(tmp_path / name, TRAIN, TEST)
    with pytest.raises(InputError, match="in FashionMNIST, MNIST; name one of these"):
        read("mnist", tmp_path)


def test_idx_files_of_another_shape_are_refused(tmp_path):
    write_idx(tmp_path, TRAIN, random_images(5, (20, 28, 1)))
    with pytest.raises(InputError, match=r"t10k.*expected several images of 28x28x1 for mnist"):
        read("mnist", tmp_path)

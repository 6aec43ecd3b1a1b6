import os
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from ardm.data.folder import Folder
from ardm.data.image_folder import measure, read
from ardm.data.provenance import NAMED
from ardm.errors import InputError
from tests.data.published import random_images

SHAPES = [(5, 7, 1), (6, 4, 3)]


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    (image.convert(mode) if mode else image).save(path)


def read_with_report(path: Path, shape: tuple[int, int, int]):
    folder = Folder(str(path))
    return read(folder, folder.listing(), shape)


def read_folder(path: Path, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    return read_with_report(path, shape)[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG", ".tif"])
def test_every_pixel_is_read(tmp_path, shape, suffix):
    images = random_images(9, shape)
    for number, image in enumerate(images):
        split = ("train", "valid", "test")[number // 3]
        save(tmp_path / split / "class" / f"{number}{suffix}", image)
    (tmp_path / "train" / "labels.csv").write_text("0,1")
    assert measure(str(tmp_path)) == shape
    arrays = read_folder(tmp_path, shape)
    np.testing.assert_array_equal(
        np.concatenate([arrays["train"], arrays["valid"], arrays["test"]]), images
    )


def test_one_folder_is_split_by_the_names_of_its_files(tmp_path):
    images = random_images(20, (4, 4, 1))
    for number, image in enumerate(images):
        save(tmp_path / f"{number:02d}.png", image)
    arrays = read_folder(tmp_path, (4, 4, 1))
    assert [len(arrays[split]) for split in ("train", "valid", "test")] == [17, 1, 2]
    read_back = {image.tobytes() for array in arrays.values() for image in array}
    assert read_back == {image.tobytes() for image in images}


def test_whatever_is_left_out_is_named_with_the_reason(tmp_path):
    images = random_images(20, (4, 4, 3))
    for number, image in enumerate(images):
        save(tmp_path / f"{number:02d}.png", image)
    gray, big = random_images(1, (4, 4, 1))[0], random_images(1, (8, 4, 3))[0]
    save(tmp_path / "a_gray.png", gray)
    save(tmp_path / "b_big.png", big)
    save(tmp_path / "c_palette.gif", images[0], "P")
    (tmp_path / "desktop.ini").write_text("[x]")
    (tmp_path / ".DS_Store").write_text("x")
    (tmp_path / "README").write_text("x")
    (tmp_path / "e_text.png").write_text("no image")
    (tmp_path / "f_cut.png").write_bytes((tmp_path / "00.png").read_bytes()[:60])
    (tmp_path / "g_empty.tif").write_bytes(b"")
    save(tmp_path / "h_same.webp", images[0])
    (tmp_path / "i_link.png").symlink_to("h_same.webp")
    arrays, report = read_with_report(tmp_path, (4, 4, 3))
    assert sum(map(len, arrays.values())) == 20 + 3
    text = "\n".join(report.warnings())
    for line in (
        "left out, hidden (the name begins with . or __): 1 (.DS_Store)",
        "left out, no image that Pillow reads, by its ending: 2 (README, desktop.ini)",
        "left out, wrong size: 1 (b_big.png (4 wide and 8 high))",
        "left out, empty file: 1 (g_empty.tif)",
        "left out, not a picture in a format that Pillow reads: 1 (e_text.png)",
        "left out, damaged: 1 (f_cut.png (",
        "left out, another name of a file that is used: 1 (i_link.png (as h_same.webp))",
        "converted: 1 x gray to RGB; 1 x mode P to RGB",
    ):
        assert line in text
    assert sum(group["count"] for group in report.as_json()["left_out"]) == 8


def test_of_many_files_that_are_left_out_some_are_named_and_all_counted(tmp_path):
    for number, image in enumerate(random_images(30, (4, 4, 1))):
        save(tmp_path / f"{number}.png", image)
        if number < NAMED + 3:
            (tmp_path / f"{number:02d}.txt").write_text("")
    _, report = read_with_report(tmp_path, (4, 4, 1))
    assert report.warnings()[0].endswith(
        ": 13 (" + ", ".join(f"{n:02d}.txt" for n in range(10)) + " and 3 more)"
    )
    (group,) = report.as_json()["left_out"]
    assert (group["count"], len(group["names"])) == (13, NAMED)


def test_a_folder_of_which_most_cannot_be_used_is_refused(tmp_path):
    for number, image in enumerate(random_images(30, (4, 4, 1))):
        save(tmp_path / f"{number}.png", image if number < 10 else image[:3])
    with pytest.raises(InputError, match=r"received 20 that cannot be used: wrong size: 20 \("):
        read_folder(tmp_path, (4, 4, 1))


def test_a_broken_file_is_not_the_tenth_that_is_held_out(tmp_path):
    images = random_images(12, (4, 4, 1))
    for number, image in enumerate(images):
        save(tmp_path / f"{number}.png", image)
    held_out = read_folder(tmp_path, (4, 4, 1))["valid"][0]
    (number,) = (n for n, image in enumerate(images) if (image == held_out).all())
    (tmp_path / f"{number}.png").write_bytes(b"")
    arrays = read_folder(tmp_path, (4, 4, 1))
    assert [len(arrays[split]) for split in ("train", "valid", "test")] == [9, 1, 1]


def test_a_split_whose_images_are_all_broken_is_refused(tmp_path):
    for number, image in enumerate(random_images(20, (4, 4, 1))):
        save(tmp_path / "train" / f"{number}.png", image)
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"leaves none for valid \(no image in val/ can be used"):
        read_folder(tmp_path, (4, 4, 1))


def test_copies_of_an_image_in_two_splits_are_counted(tmp_path):
    images = random_images(20, (4, 4, 1))
    for number, image in enumerate(images):
        save(tmp_path / "train" / f"{number}.png", image)
    save(tmp_path / "test" / "copy.bmp", images[3])
    save(tmp_path / "val" / "new.bmp", random_images(1, (4, 4, 1), 9)[0])
    _, report = read_with_report(tmp_path, (4, 4, 1))
    assert report.warnings() == ["in two splits: 1 x a copy of an image of test in train"]


def test_linked_folders_of_splits_hold_the_splits(tmp_path):
    images = random_images(30, (4, 4, 1))
    for number, image in enumerate(images):
        save(tmp_path / "far" / ("a", "b")[number >= 20] / f"{number:02d}.png", image)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(tmp_path / "far" / "a")
    (tmp_path / "data" / "test").symlink_to("../far/b")
    arrays, report = read_with_report(tmp_path / "data", (4, 4, 1))
    np.testing.assert_array_equal(arrays["test"], images[20:])
    assert (len(arrays["train"]), len(arrays["valid"])) == (18, 2)
    assert report.warnings() == []
    assert report.origins["valid"] == "held out by ardm: a tenth of train/, chosen by file name"


def test_a_folder_in_a_bucket_is_read_in_the_same_way(bucket, tmp_path):
    images = random_images(14, (4, 4, 1))
    for number, image in enumerate(images):
        save(tmp_path / ("Training", "Val")[number >= 10] / f"{number:02d}.tif", image)
    save(tmp_path / "Training" / "wide.gif", np.zeros((4, 9, 1), np.uint8))
    (tmp_path / "Val" / "empty.png").write_bytes(b"")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(b"x")
    (tmp_path / "labels.csv").write_bytes(b"x")
    filesystem, root = fsspec.core.url_to_fs(f"{bucket}/images")
    filesystem.put(f"{tmp_path}/", f"{root}/", recursive=True)
    filesystem.pipe_file(f"{root}/Val/", b"")
    assert measure(f"{bucket}/images") == (4, 4, 1)
    (here, said_here), (there, said_there) = (
        read_with_report(path, (4, 4, 1)) for path in (tmp_path, f"{bucket}/images")
    )
    assert said_here == said_there
    assert len(said_there.warnings()) == 4
    for split in here:
        np.testing.assert_array_equal(here[split], there[split])
    np.testing.assert_array_equal(there["valid"], images[10:])


def test_names_that_are_not_utf_8_are_read_and_shown(tmp_path):
    for number, image in enumerate(random_images(10, (4, 4, 1))):
        save(tmp_path / f"{number}.png", image)
    for name in (b"caf\xe9.png", b"x\x1b[2J\n.txt"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(b"")
    _, report = read_with_report(tmp_path, (4, 4, 1))
    text = "".join(report.warnings())
    text.encode()
    assert r"caf\udce9.png" in text
    assert r"x\x1b[2J\n.txt" in text


def test_a_folder_without_images_has_no_shape(tmp_path):
    with pytest.raises(InputError, match=r"expected a folder of images .*found no file"):
        measure(str(tmp_path))
    (tmp_path / "x.txt").write_text("")
    (tmp_path / "y.png").write_text("")
    with pytest.raises(InputError, match=r"empty file: 1 \(y\.png\); .*ending: 1 \(x"):
        measure(str(tmp_path))


def test_the_shape_is_that_of_most_images_with_colors_if_any_has(tmp_path):
    save(tmp_path / "0.png", random_images(1, (9, 9, 1))[0])
    for number, image in enumerate(random_images(5, (5, 7, 1)), start=1):
        save(tmp_path / f"{number}.png", image)
    assert measure(str(tmp_path)) == (5, 7, 1)
    save(tmp_path / "6.png", random_images(1, (5, 7, 3))[0], "RGBA")
    assert measure(str(tmp_path)) == (5, 7, 3)


def test_the_shape_of_a_turned_picture_is_the_upright_one(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (16, 8)).save(tmp_path / "x.jpg", exif=exif)
    assert measure(str(tmp_path)) == (16, 8, 1)

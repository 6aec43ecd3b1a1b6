import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ardm.data.folder import Folder
from ardm.data.image_folder import NAMED, images_among, measure, read
from ardm.errors import InputError
from tests.data.published import random_images

SHAPES = [(5, 7, 1), (6, 4, 3)]


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    (image.convert(mode) if mode else image).save(path)


def read_folder(path: Path, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    folder = Folder(str(path))
    return read(folder, images_among(folder.names()), shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG"])
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


def test_all_files_that_do_not_fit_are_named_at_once(tmp_path):
    for number, image in enumerate(random_images(5, (4, 4, 3))):
        save(tmp_path / f"{number}.png", image)
    grey, big = random_images(1, (4, 4, 1))[0], random_images(1, (8, 4, 3))[0]
    save(tmp_path / "a_grey.png", grey)
    save(tmp_path / "b_big.png", big)
    save(tmp_path / "c_palette.png", grey, "P")
    save(tmp_path / "d_alpha.png", big, "RGBA")
    (tmp_path / "e_text.png").write_text("no image")
    (tmp_path / "f_cut.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path, (4, 4, 3))
    message = str(caught.value)
    assert f"{tmp_path}: expected 11 images, all of 4x4x3, received 6 that are not:" in message
    for fault in (
        "a_grey.png (4x4x1)",
        "b_big.png (8x4x3)",
        "c_palette.png (mode P)",
        "d_alpha.png (mode RGBA)",
        "e_text.png (unreadable: cannot identify image file",
        "f_cut.png (unreadable: ",
    ):
        assert fault in message
    assert "0.png" not in message


def test_of_many_files_that_do_not_fit_some_are_named_and_all_counted(tmp_path):
    for number, image in enumerate(random_images(NAMED + 3, (4, 4, 1))):
        save(tmp_path / f"{number}.png", image)
    with pytest.raises(InputError, match=r"received 13 that are not:.* and 3 more; convert"):
        read_folder(tmp_path, (4, 4, 3))


def test_a_folder_without_images_has_no_shape(tmp_path):
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(InputError, match=r"expected a folder of images \(\.png.*found none"):
        measure(str(tmp_path))


@pytest.mark.parametrize(("mode", "fault"), [("RGBA", "mode RGBA"), ("1", "mode 1")])
def test_the_first_image_must_be_grey_or_rgb(tmp_path, mode, fault):
    save(tmp_path / "x.png", random_images(1, (4, 4, 3))[0], mode)
    with pytest.raises(InputError, match=f"x.png: expected 8 bits.*received {fault}"):
        measure(str(tmp_path))


def test_an_image_too_large_to_be_honest_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "png")
    (tmp_path / "x.png").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match=r"unreadable.*exceeds limit"):
        measure(str(tmp_path))

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ardm.data.picture import read_image, read_mask
from ardm.errors import InputError

RANDOM = np.random.default_rng(0)


def saved(folder: Path, pixels: np.ndarray, name: str = "x.png") -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return folder / name


@pytest.mark.parametrize("classes", [2, 4, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_the_values_is_read_as_the_values(tmp_path, classes, channels):
    values = RANDOM.integers(0, classes, (5, 7, channels), dtype=np.uint8)
    shade = values.astype(int) * 255 // (classes - 1)
    path = saved(tmp_path, shade[..., 0] if channels == 1 else shade)
    values_read = read_image(path, (5, 7, channels), classes)
    assert values_read.dtype == np.uint8
    np.testing.assert_array_equal(values_read, values)


def test_shades_between_go_to_the_nearest_class(tmp_path):
    path = saved(tmp_path, np.array([[0, 127, 128, 255]]))
    np.testing.assert_array_equal(read_image(path, (1, 4, 1), 2)[..., 0], [[0, 0, 1, 1]])


def test_colors_become_gray_and_gray_becomes_colors(tmp_path):
    white = saved(tmp_path, np.full((2, 2, 3), 255))
    np.testing.assert_array_equal(read_image(white, (2, 2, 1), 2), np.ones((2, 2, 1)))
    gray = saved(tmp_path, np.full((2, 2), 40))
    np.testing.assert_array_equal(read_image(gray, (2, 2, 3), 256), np.full((2, 2, 3), 40))


def test_white_of_a_mask_is_given(tmp_path):
    path = saved(tmp_path, np.array([[255, 0, 0], [200, 10, 255]]))
    np.testing.assert_array_equal(read_mask(path, (2, 3)), [[1, 0, 0], [1, 0, 1]])


@pytest.mark.parametrize(("shade", "message"), [(0, "black.*gives nothing"), (255, "white.*hides")])
def test_a_mask_that_gives_or_hides_nothing_is_refused(tmp_path, shade, message):
    with pytest.raises(InputError, match=f"expected white where a pixel is given.*{message}"):
        read_mask(saved(tmp_path, np.full((2, 3), shade)), (2, 3))


def test_another_size_is_refused_with_both(tmp_path):
    path = saved(tmp_path, np.zeros((5, 7)))
    message = r"x\.png: expected a picture 28 pixels wide and 26 high.*received 7 wide and 5 high"
    with pytest.raises(InputError, match=message):
        read_image(path, (26, 28, 1), 2)
    with pytest.raises(InputError, match=message):
        read_mask(path, (26, 28))


def test_what_is_no_picture_is_refused(tmp_path):
    with pytest.raises(InputError, match="found no file"):
        read_image(tmp_path / "none.png", (2, 2, 1), 2)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="expected a picture, such as a PNG"):
        read_mask(tmp_path / "text.png", (2, 2))
    whole = saved(tmp_path, np.zeros((50, 50))).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="expected a picture, such as a PNG"):
        read_image(tmp_path / "cut.png", (50, 50, 1), 2)
    with pytest.raises(InputError, match="expected a picture, such as a PNG"):
        read_image(tmp_path, (2, 2, 1), 2)

import io

import numpy as np
import pytest
from PIL import Image

from ardm.plots import pictures

RANDOM = np.random.default_rng(0)


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(opened(data))


def tile(sheet: np.ndarray, rows: int, row: int, column: int) -> np.ndarray:
    """Cut image (row, column) out of a grid of 14x14 images, at its own size."""
    zoom = sheet.shape[0] // (15 * rows + 1)
    small = sheet[::zoom, ::zoom]
    top, left = 1 + 15 * row, 1 + 15 * column
    return small[top : top + 14, left : left + 14]


@pytest.mark.parametrize(
    ("count", "rows", "columns"), [(1, 1, 1), (4, 2, 2), (5, 2, 3), (16, 4, 4)]
)
def test_a_grid_is_as_square_as_can_be_and_large_enough_to_look_at(count, rows, columns):
    images = RANDOM.integers(0, 2, (count, 28, 28, 1), dtype=np.uint8)
    picture = opened(pictures.grid(images, 2))
    assert picture.format == "PNG"
    width, height = 30 * columns + 2, 30 * rows + 2
    zoom = picture.width // width
    assert picture.size == (zoom * width, zoom * height)
    assert max(picture.size) >= 640


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("classes", [2, 5, 256])
def test_every_image_of_a_grid_is_where_it_belongs_from_black_to_white(classes, dtype):
    images = RANDOM.integers(0, classes, (6, 14, 14, 1)).astype(dtype)
    images[:, 0, 0], images[:, 0, 1] = 0, classes - 1
    sheet = pixels(pictures.grid(images, classes))
    for i, image in enumerate(images):
        shown = tile(sheet, 2, i // 3, i % 3)
        expected = image[..., 0].astype(int) * 255 // (classes - 1)
        np.testing.assert_array_equal(shown, expected)


def test_what_is_not_generated_yet_is_gray():
    images = np.full((1, 14, 14, 1), -1, np.int32)
    images[0, 0, 0] = 1
    shown = tile(pixels(pictures.grid(images, 2)), 1, 0, 0)
    assert shown[0, 0] == 255
    assert set(shown.ravel()[1:]) == {96}


def test_a_color_image_keeps_its_channels():
    images = RANDOM.integers(0, 256, (1, 14, 14, 3), dtype=np.uint8)
    np.testing.assert_array_equal(tile(pixels(pictures.grid(images, 256)), 1, 0, 0), images[0])


@pytest.mark.parametrize(("frames", "shown"), [(1, 1), (3, 3), (150, 50)])
def test_a_chain_shows_its_frames_in_order_and_rests_on_the_last(frames, shown):
    chain = np.full((frames, 2, 14, 14, 1), -1, np.int32)
    for i in range(frames):
        chain[i].reshape(2, -1)[:, : i + 1] = RANDOM.integers(0, 2, (2, i + 1))
    movie = opened(pictures.chain(chain, 2, seconds=2.0))
    assert movie.format == "GIF"
    assert movie.n_frames == shown
    movie.seek(shown - 1)
    assert movie.info["duration"] == 2000
    np.testing.assert_array_equal(
        np.asarray(movie.convert("L")), pixels(pictures.grid(chain[-1], 2))
    )
    if shown > 1:
        movie.seek(0)
        assert movie.info["duration"] == pytest.approx(2000 / shown, abs=10)

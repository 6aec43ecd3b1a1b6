import io

import numpy as np
import pytest
from PIL import Image

from ardm.plots.pictures import completion_grid

RANDOM = np.random.default_rng(0)
KNOWN = np.arange(28)[:, None] + np.zeros(28, int) < 14


def drawn(classes=2, channels=1, n=2, completions=3):
    originals = RANDOM.integers(0, classes, (n, 28, 28, channels), dtype=np.uint8)
    completed = RANDOM.integers(0, classes, (n, completions, 28, 28, channels), dtype=np.uint8)
    completed[:, :, KNOWN] = originals[:, None][:, :, KNOWN]
    picture = Image.open(io.BytesIO(completion_grid(originals, KNOWN, completed, classes)))
    assert picture.format == "PNG"
    return originals, completed, np.asarray(picture).astype(int)


def tile(sheet, row, column):
    """Cut an image out of the grid at its own size. A wider gap precedes the third column."""
    top, left = 29 + row * 120, 8 + column * 120 + (16 if column > 1 else 0)
    whole = sheet[top : top + 112, left : left + 112]
    small = whole[::4, ::4]
    np.testing.assert_array_equal(whole, small.repeat(4, axis=0).repeat(4, axis=1))
    return small


@pytest.mark.parametrize(("classes", "channels"), [(2, 1), (256, 1), (256, 3)])
def test_every_image_is_where_it_belongs_and_only_what_is_given_is_tinted(classes, channels):
    originals, completed, sheet = drawn(classes, channels)
    assert sheet.shape == (29 + 2 * 120, 8 + 5 * 120 + 16, 3)
    for row in range(2):
        shade = np.broadcast_to(originals[row].astype(int) * 255 // (classes - 1), (28, 28, 3))
        np.testing.assert_array_equal(tile(sheet, row, 0), shade)
        given = tile(sheet, row, 1)
        assert (given[~KNOWN] == 128).all()
        assert (given[KNOWN][:, 2] > given[KNOWN][:, 0]).all() or channels == 3
        for number in range(3):
            completion = tile(sheet, row, 2 + number)
            np.testing.assert_array_equal(completion[KNOWN], given[KNOWN])
            shade = completed[row, number].astype(int) * 255 // (classes - 1)
            expected = np.broadcast_to(shade, (28, 28, 3))
            np.testing.assert_array_equal(completion[~KNOWN], expected[~KNOWN])


def test_given_black_and_white_stay_apart():
    originals, _, sheet = drawn()
    given = tile(sheet, 0, 1)[KNOWN].sum(axis=-1)
    white = originals[0, ..., 0][KNOWN] == 1
    assert given[white].min() > given[~white].max() + 150


def test_columns_have_headings():
    _, _, sheet = drawn(completions=1)
    head = sheet[:29].sum(axis=-1)
    for left in (8, 128, 264):
        assert head[:, left : left + 112].min() < 300
    assert (head[:, :8] == 3 * 255).all()

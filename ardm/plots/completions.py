"""The picture of in-painting: what was given, marked, and what was made of it."""

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from ardm.plots.pictures import encode

_GROUND, _HIDDEN, _TEXT = 255, 128, (27, 31, 36)
_TINT = np.array([11, 107, 203])
_STRENGTH = 0.42
_SMALLEST_TILE = 112
"""Side of a tile in pixels, at least."""
_FONT_SIZE = 13


def completion_grid(
    originals: UInt8[np.ndarray, "n h w c"],
    known: Bool[np.ndarray, "h w"],
    made: UInt8[np.ndarray, "n completions h w c"],
    classes: int,
) -> bytes:
    """One row per image: the original, what is given of it, and its completions.

    Given pixels are tinted blue, hidden ones grey. Pixels are enlarged without smoothing.

    Args:
        originals: values 0 .. K-1.
        known: true where a pixel is given.
        made: the completions.
        classes: K.

    Returns:
        A PNG.
    """
    whole = _rgb(originals, classes)
    given = np.where(known[..., None], _tinted(whole), _HIDDEN).astype(np.uint8)
    finished = _rgb(made, classes)
    finished = np.where(known[..., None], _tinted(finished), finished)
    rows = np.concatenate([whole[:, None], given[:, None], finished], axis=1)
    names = ["original", "given", *(str(number) for number in range(1, made.shape[1] + 1))]
    return encode(_sheet(rows, names), "PNG")


def _rgb(images: UInt8[np.ndarray, "... c"], classes: int) -> UInt8[np.ndarray, "... 3"]:
    shade = images.astype(np.int32) * 255 // (classes - 1)
    return np.broadcast_to(shade, (*shade.shape[:-1], 3)).astype(np.uint8)


def _tinted(rgb: UInt8[np.ndarray, "... 3"]) -> UInt8[np.ndarray, "... 3"]:
    return ((1 - _STRENGTH) * rgb + _STRENGTH * _TINT).astype(np.uint8)


def _sheet(tiles: UInt8[np.ndarray, "rows columns h w 3"], names: list[str]) -> np.ndarray:
    _, columns, h, w, _ = tiles.shape
    zoom = max(1, -(-_SMALLEST_TILE // max(h, w)))
    large = tiles.repeat(zoom, axis=2).repeat(zoom, axis=3)
    gap = 8
    # What is given stands apart from what was made of it.
    aside = [
        gap + column * (w * zoom + gap) + (2 * gap if column > 1 else 0)
        for column in range(columns)
    ]
    head = 2 * gap + _FONT_SIZE
    width = aside[-1] + w * zoom + gap
    sheet = np.full((head + len(tiles) * (h * zoom + gap), width, 3), _GROUND, np.uint8)
    for row, line in enumerate(large):
        top = head + row * (h * zoom + gap)
        for left, tile in zip(aside, line, strict=True):
            sheet[top : top + h * zoom, left : left + w * zoom] = tile
    picture = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE)
    for left, name in zip(aside, names, strict=True):
        centre = (left + w * zoom // 2, head - gap // 2)
        draw.text(centre, name, fill=_TEXT, font=font, anchor="ms")
    return np.asarray(picture)

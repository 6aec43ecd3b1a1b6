"""Pictures of a run as PNG and GIF bytes: sample grids, chains, completions."""

import io

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

_QUALITY: dict[str, dict[str, int | bool]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
_HIDDEN_GREY = 96
_TARGET_SIDE = 640
"""Pixels that the longer side of a grid should have, at least."""


_GROUND, _HIDDEN, _TEXT = 255, 128, (27, 31, 36)

_TINT = np.array([11, 107, 203])

_STRENGTH = 0.42

_SMALLEST_TILE = 112
"""Side of a tile in pixels, at least."""

_FONT_SIZE = 13


def grid(images: Integer[np.ndarray, "n h w c"], classes: int) -> bytes:
    """Images side by side, in a grid as square as can be, enlarged without smoothing.

    Args:
        images: values 0 .. K-1; -1 (not generated yet) is drawn grey.
        classes: K.

    Returns:
        A PNG.
    """
    return encode(_tile(images, classes), "PNG")


def chain(frames: Integer[np.ndarray, "f n h w c"], classes: int, seconds: float = 4.0) -> bytes:
    """The way of a generation, as an animated GIF that rests on its last frame.

    Args:
        frames: images after each network call; -1 is drawn grey.
        classes: K.
        seconds: duration without the rest; at most 50 frames are shown of a longer chain.

    Returns:
        A GIF.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), 50)).astype(int))
    pictures = [Image.fromarray(_tile(frames[i], classes)) for i in chosen]
    pause = int(1000 * seconds / len(pictures))
    out = io.BytesIO()
    pictures[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[pause] * (len(pictures) - 1) + [2000],
        loop=0,
    )
    return out.getvalue()


def encode(pixels: np.ndarray, kind: str) -> bytes:
    """Pixels as the bytes of a file, `PNG` or another kind that Pillow writes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def recode(png: bytes, kind: str) -> bytes:
    """A PNG in another format that Pillow writes, without loss where the format can do without.

    Raises:
        ValueError: the format has no room for a picture of this size.
    """
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        plain = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
        try:
            plain.save(out, kind, **_QUALITY.get(kind, {}))
        except OSError as error:
            raise ValueError(str(error)) from error
    return out.getvalue()


def _tile(images: Integer[np.ndarray, "n h w c"], classes: int) -> np.ndarray:
    n, h, w, c = images.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows = int(np.ceil(n / columns))
    shade = images.astype(np.int32) * 255 // (classes - 1)
    grey = np.where(images < 0, _HIDDEN_GREY, shade).astype(np.uint8)
    gap = max(1, h // 14)
    sheet = np.full(
        (rows * (h + gap) + gap, columns * (w + gap) + gap, c), _HIDDEN_GREY // 2, np.uint8
    )
    for i, image in enumerate(grey):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image
    zoom = max(1, int(np.ceil(_TARGET_SIDE / max(sheet.shape[:2]))))
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return sheet[..., 0] if c == 1 else sheet


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

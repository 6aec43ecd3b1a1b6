"""Pictures of a run as PNG and GIF bytes: sample grids, chains, completions."""

import io

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

_QUALITY: dict[str, dict[str, int | bool]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
_HIDDEN_GRAY = 96
_TARGET_SIDE = 640
"""Smallest length of the longer side of a grid, in pixels."""

_GROUND, _HIDDEN, _TEXT = 255, 128, (27, 31, 36)

_TINT = np.array([11, 107, 203])

_STRENGTH = 0.42

_SMALLEST_TILE = 112
"""Smallest length of the longer side of a tile, in pixels."""

_FONT_SIZE = 13


def grid(images: Integer[np.ndarray, "n h w c"], classes: int) -> bytes:
    """Draw images in a grid that is as square as possible, enlarged without smoothing.

    Args:
        images: values 0 .. K-1; -1 (not generated yet) is drawn gray.
        classes: K, the number of classes.

    Returns:
        A PNG.
    """
    return encode(_tile(images, classes), "PNG")


def chain(frames: Integer[np.ndarray, "f n h w c"], classes: int, seconds: float = 4.0) -> bytes:
    """Animate the generation of images as a GIF that pauses at its last frame.

    Args:
        frames: images after each network call; -1 is drawn gray. Of a longer chain 50 frames are
            shown.
        classes: K, the number of classes.
        seconds: duration in seconds, without the final pause of two seconds.

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
    """Encode pixels in a format that Pillow writes, such as `PNG`."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def recode(png: bytes, kind: str) -> bytes:
    """Convert a PNG to another format that Pillow writes, without loss if the format allows it.

    Raises:
        ValueError: the format cannot hold a picture of this size.
    """
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        converted = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
        try:
            converted.save(out, kind, **_QUALITY.get(kind, {}))
        except OSError as error:
            raise ValueError(str(error)) from error
    return out.getvalue()


def _tile(images: Integer[np.ndarray, "n h w c"], classes: int) -> np.ndarray:
    n, h, w, c = images.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows = int(np.ceil(n / columns))
    shade = images.astype(np.int32) * 255 // (classes - 1)
    pixels = np.where(images < 0, _HIDDEN_GRAY, shade).astype(np.uint8)
    gap = max(1, h // 14)
    sheet = np.full(
        (rows * (h + gap) + gap, columns * (w + gap) + gap, c), _HIDDEN_GRAY // 2, np.uint8
    )
    for i, image in enumerate(pixels):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image
    zoom = max(1, int(np.ceil(_TARGET_SIDE / max(sheet.shape[:2]))))
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return sheet[..., 0] if c == 1 else sheet


def completion_grid(
    originals: UInt8[np.ndarray, "n h w c"],
    known: Bool[np.ndarray, "h w"],
    completions: UInt8[np.ndarray, "n completions h w c"],
    classes: int,
) -> bytes:
    """Draw one row per image: the original, its given part, and its completions.

    Given pixels are tinted blue, and hidden pixels are gray. Images are enlarged without smoothing.

    Args:
        originals: values 0 .. K-1.
        known: true where a pixel is given.
        completions: the completed images.
        classes: K, the number of classes.

    Returns:
        A PNG.
    """
    whole = _rgb(originals, classes)
    given = np.where(known[..., None], _tinted(whole), _HIDDEN).astype(np.uint8)
    finished = _rgb(completions, classes)
    finished = np.where(known[..., None], _tinted(finished), finished)
    rows = np.concatenate([whole[:, None], given[:, None], finished], axis=1)
    names = ["original", "given", *(str(number) for number in range(1, completions.shape[1] + 1))]
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
    # A wider gap separates the original and its given part from the completions.
    lefts = [
        gap + column * (w * zoom + gap) + (2 * gap if column > 1 else 0)
        for column in range(columns)
    ]
    head = 2 * gap + _FONT_SIZE
    width = lefts[-1] + w * zoom + gap
    sheet = np.full((head + len(tiles) * (h * zoom + gap), width, 3), _GROUND, np.uint8)
    for row, line in enumerate(large):
        top = head + row * (h * zoom + gap)
        for left, tile in zip(lefts, line, strict=True):
            sheet[top : top + h * zoom, left : left + w * zoom] = tile
    picture = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE)
    for left, name in zip(lefts, names, strict=True):
        center = (left + w * zoom // 2, head - gap // 2)
        draw.text(center, name, fill=_TEXT, font=font, anchor="ms")
    return np.asarray(picture)

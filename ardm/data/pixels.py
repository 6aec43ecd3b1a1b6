"""The one reader of picture files: for training images, and for pictures and masks to complete."""

import io
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# They name neither the file nor what is wrong with its pixels.
warnings.filterwarnings("ignore", module=r"PIL\.")

Pixels = UInt8[np.ndarray, "h w c"]

WRONG_SIZE = "wrong size"

_UNREAD = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
"""Formats that Pillow opens and cannot decode by itself; EPS would start Ghostscript."""
_STILL = {"MPO", "PSD"}
"""Formats whose first frame is the picture, and the others are its parts or previews."""


class Refused(Exception):
    """A file whose pixels cannot be used.

    Attributes:
        reason: the kind of fault, the same for all files that have it.
        detail: what this file has; may be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason} ({detail})" if detail else reason)


class Picture(NamedTuple):
    """A picture, upright, with 8 bits per channel.

    Attributes:
        pixels: gray (one channel) or RGB (three).
        changes: how the values differ from those in the file, a phrase each.
    """

    pixels: Pixels
    changes: tuple[str, ...] = ()


@cache
def formats() -> tuple[str, ...]:
    """Names of the formats that are read: all that Pillow decodes by itself."""
    Image.preinit()
    Image.init()
    # In Pillow's order: it takes the first that claims a file.
    return tuple(name for name in Image.ID if name not in _UNREAD)


@cache
def endings() -> tuple[str, ...]:
    """Endings of file names, in lower case, that such formats have."""
    known = set(formats())
    return tuple(sorted(e for e, name in Image.registered_extensions().items() if name in known))


def decode(
    data: bytes,
    size: tuple[int, int] | None = None,
    transparency: Literal["white", "refuse"] = "white",
) -> Picture:
    """Decode a picture file.

    The picture is turned upright by its EXIF orientation. 16-bit values keep their upper eight
    bits; a palette becomes its colors; CMYK, YCbCr and HSV become RGB by their plain formulas.
    Color profiles are ignored.

    Args:
        data: content of the file.
        size: expected height and width of the upright picture; None accepts any.
        transparency: what transparent pixels become: white, by their degree, or a refusal.

    Returns:
        The picture, with the channels that it has.

    Raises:
        Refused: no picture, a damaged or animated one, one of another size, or one whose values
            have no defined range.
    """
    if not data:
        raise Refused("empty file")
    try:
        with Image.open(io.BytesIO(data), formats=formats()) as image:
            _require_one_frame(image)
            _require_size(image.size, size, turned=True)
            return _decoded(image, size, transparency)
    except Refused:
        raise
    except UnidentifiedImageError as error:
        raise Refused("not a picture in a format that Pillow reads") from error
    except Image.DecompressionBombError as error:
        raise Refused("too many pixels", str(error)) from error
    except Exception as error:  # Pillow's decoders raise whatever their libraries do
        raise Refused("damaged", str(error) or type(error).__name__) from error


def with_channels(picture: Picture, channels: int) -> Picture:
    """Bring a picture to one channel (by luminance, ITU-R 601) or three (equal ones)."""
    pixels, has = picture.pixels, picture.pixels.shape[2]
    if has == channels:
        return picture
    if channels == 3:
        return Picture(np.repeat(pixels, 3, axis=2), (*picture.changes, "gray to RGB"))
    gray = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    changes = picture.changes if _is_gray(pixels) else (*picture.changes, "RGB to gray")
    return Picture(gray, changes)


def _decoded(image: Image.Image, size: tuple[int, int] | None, transparency: str) -> Picture:
    mode, changes = image.mode, []
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        changes.append("turned by its EXIF orientation")
    ImageOps.exif_transpose(image, in_place=True)
    _require_size(image.size, size)
    if mode.startswith("I") or mode == "F":
        _require_16_bits(image)
        values, alpha = _of_16_bits(image, white_is_zero=_tags(image).get(262) == 0)
        colors = values[..., None]
        changes.append("16 bits to 8")
    else:
        colors, alpha = _of_8_bits(image)
        if mode not in ("L", "RGB"):
            changes.append(f"mode {mode} to {'gray' if colors.shape[2] == 1 else 'RGB'}")
    if alpha is not None and (alpha < 255).any():
        if transparency == "refuse":
            raise Refused("transparent pixels")
        seen = alpha[..., None].astype(np.uint32)
        colors = ((colors * seen + 255 * (255 - seen) + 127) // 255).astype(np.uint8)
        changes.append("transparent pixels to white")
    return Picture(np.ascontiguousarray(colors), tuple(changes))


def _require_one_frame(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in _STILL:
        kind = "pages" if image.format == "TIFF" else "frames"
        raise Refused("animation or several pages", f"{frames} {kind}")


def _require_size(
    found: tuple[int, int], size: tuple[int, int] | None, *, turned: bool = False
) -> None:
    """Require a size, given as width and height; `turned` accepts the size of a lying picture."""
    if size is None or found == size[::-1] or (turned and found == size):
        return
    raise Refused(WRONG_SIZE, f"{found[0]} wide and {found[1]} high")


def _require_16_bits(image: Image.Image) -> None:
    """Require values from 0 to 65535; Pillow 13 puts those of 12 bits below them."""
    bits = _tags(image).get(258, (16,))
    if bits != (16,) and image.mode.startswith("I;16"):
        raise Refused("bit depth", f"{bits[0]} bits, expected 1, 2, 4, 8 or 16")
    if image.mode == "F":
        raise Refused("bit depth", "floating-point numbers, expected whole numbers of 1 to 16 bits")
    if image.mode == "I" and image.format != "PPM":
        raise Refused("bit depth", "32-bit or signed numbers, expected 1 to 16 bits without sign")


def _of_16_bits(image: Image.Image, *, white_is_zero: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Upper eight bits of each value [h, w], and the alpha channel if there is one."""
    values = np.asarray(image).astype(np.uint16)
    key = image.info.get("transparency")
    alpha = None if key is None else np.where(values == key, 0, 255).astype(np.uint8)
    if white_is_zero:  # Pillow 13 turns such values of 8 bits, but not of 16
        values = np.uint16(65535) - values
    return (values >> 8).astype(np.uint8), alpha


def _of_8_bits(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """The colors [h, w, 1 or 3], and the alpha channel if there is one."""
    clear = image.has_transparency_data
    if image.mode in ("L", "RGB") and not clear:
        pixels = np.asarray(image)
        return pixels.reshape(*pixels.shape[:2], -1), None
    if image.mode in ("1", "L", "LA", "La"):
        two = np.asarray(image.convert("LA"))
        return two[..., :1], two[..., 1] if clear else None
    if image.mode == "LAB":
        raise Refused("color space LAB")
    if not clear and image.mode != "P":
        return np.asarray(image.convert("RGB")), None
    four = np.asarray(image.convert("RGBA"))
    colors = four[..., :3]
    # Pillow has no mode for a gray palette, and reads 16-bit gray with alpha as RGBA.
    gray = image.mode != "RGB" and _is_gray(colors)
    return colors[..., :1] if gray else colors, four[..., 3] if clear else None


def _is_gray(pixels: np.ndarray) -> bool:
    return bool((pixels[..., :1] == pixels).all())


def _tags(image: Image.Image) -> Mapping[int, Any]:
    """The tags of a TIFF file; empty for the other formats."""
    return getattr(image, "tag_v2", {})

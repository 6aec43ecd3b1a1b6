"""Decoding of picture files: training images, and pictures and masks for in-painting."""

import io
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ardm.data.provenance import Refused

# Pillow's warnings name neither the file nor what is wrong with its pixels.
warnings.filterwarnings("ignore", module=r"PIL\.")

Pixels = UInt8[np.ndarray, "h w c"]

WRONG_SIZE = "wrong size"

_UNREAD = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
"""Formats that Pillow opens but cannot decode by itself; for EPS it would start Ghostscript."""
_STILL = {"MPO", "PSD"}
"""Formats whose first frame is the picture; other frames are parts or previews of it."""


class Picture(NamedTuple):
    """A decoded picture: upright, with 8 bits per channel.

    Attributes:
        pixels: gray (one channel) or RGB (three channels).
        changes: phrases that say how the values differ from those in the file.
    """

    pixels: Pixels
    changes: tuple[str, ...] = ()


@cache
def formats() -> tuple[str, ...]:
    """Names of the supported formats: those that Pillow decodes by itself."""
    Image.preinit()
    Image.init()
    # The order matters: Pillow takes the first format that accepts a file.
    return tuple(name for name in Image.ID if name not in _UNREAD)


@cache
def endings() -> tuple[str, ...]:
    """File name endings of the supported formats, in lower case."""
    known = set(formats())
    return tuple(sorted(e for e, name in Image.registered_extensions().items() if name in known))


def decode(
    data: bytes,
    size: tuple[int, int] | None = None,
    transparency: Literal["white", "refuse"] = "white",
) -> Picture:
    """Decode a picture file.

    The picture is turned upright by its EXIF orientation. Of 16-bit values the upper eight bits are
    kept. Palettes are replaced by their colors; CMYK, YCbCr and HSV are converted to RGB by their
    standard formulas. Color profiles are ignored.

    Args:
        data: the file's bytes.
        size: expected height and width of the upright picture; None accepts every size.
        transparency: `white` blends transparent pixels with white, `refuse` raises an error.

    Returns:
        The picture, gray or RGB as in the file.

    Raises:
        Refused: the file is not a picture, is damaged or animated, has another size, or its values
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
    """Convert a picture to one channel (its luminance, ITU-R 601) or to three equal channels."""
    pixels = picture.pixels
    if pixels.shape[2] == channels:
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
        opacity = alpha[..., None].astype(np.uint32)
        colors = ((colors * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
        changes.append("transparent pixels to white")
    return Picture(np.ascontiguousarray(colors), tuple(changes))


def _require_one_frame(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in _STILL:
        kind = "pages" if image.format == "TIFF" else "frames"
        raise Refused("animation or several pages", f"{frames} {kind}")


def _require_size(
    received: tuple[int, int], size: tuple[int, int] | None, *, turned: bool = False
) -> None:
    """Raise an error unless the size is right.

    Args:
        received: width and height of the picture.
        size: expected height and width; None accepts every size.
        turned: whether to accept exchanged sides, since EXIF may still turn the picture.
    """
    if size is None or received == size[::-1] or (turned and received == size):
        return
    raise Refused(WRONG_SIZE, f"{received[0]} wide and {received[1]} high")


def _require_16_bits(image: Image.Image) -> None:
    """Require a range from 0 to 65535 (Pillow 13 keeps 12-bit values as they are)."""
    bits = _tags(image).get(258, (16,))
    if bits != (16,) and image.mode.startswith("I;16"):
        raise Refused("bit depth", f"{bits[0]} bits, expected 1, 2, 4, 8 or 16")
    if image.mode == "F":
        raise Refused("bit depth", "floating-point numbers, expected whole numbers of 1 to 16 bits")
    if image.mode == "I" and image.format != "PPM":
        raise Refused("bit depth", "32-bit or signed numbers, expected 1 to 16 bits without sign")


def _of_16_bits(image: Image.Image, *, white_is_zero: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """The upper eight bits of each value [h, w], and the alpha channel if there is one."""
    values = np.asarray(image).astype(np.uint16)
    key = image.info.get("transparency")
    alpha = None if key is None else np.where(values == key, 0, 255).astype(np.uint8)
    if white_is_zero:  # Pillow 13 inverts such values if they have 8 bits, but not if they have 16
        values = np.uint16(65535) - values
    return (values >> 8).astype(np.uint8), alpha


def _of_8_bits(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """The colors [h, w, 1 or 3], and the alpha channel if there is one."""
    has_alpha = image.has_transparency_data
    if image.mode in ("L", "RGB") and not has_alpha:
        pixels = np.asarray(image)
        return pixels.reshape(*pixels.shape[:2], -1), None
    if image.mode in ("1", "L", "LA", "La"):
        gray_alpha = np.asarray(image.convert("LA"))
        return gray_alpha[..., :1], gray_alpha[..., 1] if has_alpha else None
    if image.mode == "LAB":
        raise Refused("color space LAB")
    if not has_alpha and image.mode != "P":
        return np.asarray(image.convert("RGB")), None
    rgba = np.asarray(image.convert("RGBA"))
    colors = rgba[..., :3]
    # Pillow has no mode for a gray palette, and it reads 16-bit gray with alpha as RGBA.
    gray = image.mode != "RGB" and _is_gray(colors)
    return colors[..., :1] if gray else colors, rgba[..., 3] if has_alpha else None


def _is_gray(pixels: np.ndarray) -> bool:
    return bool((pixels[..., :1] == pixels).all())


def _tags(image: Image.Image) -> Mapping[int, Any]:
    """The tags of a TIFF file; empty for other formats."""
    return getattr(image, "tag_v2", {})

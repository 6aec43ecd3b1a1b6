"""Pictures from files: images as a model sees them, and masks for in-painting."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from ardm.data.pixels import WRONG_SIZE, Picture, decode, with_channels
from ardm.data.provenance import Refused
from ardm.errors import InputError


def read_image(
    path: Path,
    shape: tuple[int, int, int],
    classes: int,
    report: Callable[[str], None] = lambda text: None,
) -> UInt8[np.ndarray, "h w c"]:
    """Read a picture in the same way as the training images of a data set.

    Args:
        path: a file in any format that Pillow reads.
        shape: height, width and channels of the images of the data set.
        classes: K. Black becomes 0, white becomes K-1, and other values the nearest class.
        report: called with a sentence if the values differ from those in the file.

    Returns:
        Values 0 .. K-1.

    Raises:
        InputError: the file is not a picture, or has another size.
    """
    try:
        picture = with_channels(decode(_content(path), shape[:2]), shape[2])
    except Refused as error:
        raise _refusal(path, shape[:2], error) from error
    if picture.changes:
        report(f"{path}: converted, {'; '.join(picture.changes)}")
    values: UInt8[np.ndarray, "h w c"] = np.rint(
        picture.pixels.astype(np.float64) * (classes - 1) / 255
    ).astype(np.uint8)
    return values


def read_mask(path: Path, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Read a mask.

    Args:
        path: a picture that is white where a pixel is given and black where it is generated.
        size: height and width of the images.

    Returns:
        True where a pixel is given, that is, where the picture is lighter than middle gray.

    Raises:
        InputError: the file is not a picture, has another size or transparent pixels, or is white
            or black everywhere.
    """
    try:
        picture: Picture = with_channels(decode(_content(path), size, transparency="refuse"), 1)
    except Refused as error:
        raise _refusal(path, size, error) from error
    shades = picture.pixels[..., 0]
    known: Bool[np.ndarray, "h w"] = shades >= 128
    if known.all() or not known.any():
        shade, verb = ("white", "hides") if known.all() else ("black", "gives")
        lightest = (
            f" (the lightest value is {shades.max()} of 255)" if 0 < shades.max() < 128 else ""
        )
        raise InputError(
            f"mask {path}: expected white where a pixel is given and black where it is to be "
            f"generated, received {shade} everywhere{lightest}, which {verb} nothing"
        )
    return known


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a picture, found no file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a picture, such as a PNG, received: {error}") from error


def _refusal(path: Path, size: tuple[int, int], error: Refused) -> InputError:
    height, width = size
    if error.reason == WRONG_SIZE:
        return InputError(
            f"{path}: expected a picture {width} pixels wide and {height} high, as the model's "
            f"images are, received {error.detail}"
        )
    return InputError(f"{path}: expected a picture, such as a PNG, received: {error}")

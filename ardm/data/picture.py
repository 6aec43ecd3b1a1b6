"""Pictures from files: an image as a model sees it, and a mask that says what of it is given."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from ardm.data.pixels import WRONG_SIZE, Picture, Refused, decode, with_channels
from ardm.errors import InputError


def read_image(
    path: Path,
    shape: tuple[int, int, int],
    classes: int,
    report: Callable[[str], None] = lambda text: None,
) -> UInt8[np.ndarray, "h w c"]:
    """Read a picture as the values of a data set, as its training images are read.

    Args:
        path: a file of any format that Pillow reads.
        shape: height, width and channels of the images of the data set.
        classes: K; black is 0 and white K-1, and what is between goes to the nearest.
        report: called with a sentence if the values are not those in the file.

    Returns:
        Values 0 .. K-1.

    Raises:
        InputError: no picture, or of another size.
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
        path: a picture, white where a pixel is given and black where it is to be generated.
        size: height and width of the images.

    Returns:
        True where a pixel is given: where it is lighter than the middle gray.

    Raises:
        InputError: no picture, of another size, with transparent pixels, or one that gives or
            hides nothing.
    """
    try:
        picture: Picture = with_channels(decode(_content(path), size, transparency="refuse"), 1)
    except Refused as error:
        raise _refusal(path, size, error) from error
    shades = picture.pixels[..., 0]
    known: Bool[np.ndarray, "h w"] = shades >= 128
    if known.all() or not known.any():
        shade, what = ("white", "hides") if known.all() else ("black", "gives")
        lightest = (
            f" (the lightest value is {shades.max()} of 255)" if 0 < shades.max() < 128 else ""
        )
        raise InputError(
            f"mask {path}: expected white where a pixel is given and black where it is to be "
            f"generated, received {shade} everywhere{lightest}, which {what} nothing"
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

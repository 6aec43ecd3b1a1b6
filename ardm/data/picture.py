"""Pictures from files: an image as a model sees it, and a mask that says what of it is given."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, UnidentifiedImageError

from ardm.errors import InputError


def read_image(path: Path, shape: tuple[int, int, int], classes: int) -> UInt8[np.ndarray, "h w c"]:
    """Read a picture as the values of a data set.

    Args:
        path: a file of any format that Pillow reads.
        shape: height, width and channels of the images of the data set.
        classes: K; black is 0 and white K-1, and what is between goes to the nearest.

    Returns:
        Values 0 .. K-1.

    Raises:
        InputError: no picture, or of another size.
    """
    pixels = _pixels(path, "L" if shape[2] == 1 else "RGB", shape[:2])
    values = np.rint(pixels.astype(np.float64) * (classes - 1) / 255).astype(np.uint8)
    return values.reshape(shape)


def read_mask(path: Path, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Read a mask.

    Args:
        path: a picture, white where a pixel is given and black where it is to be generated.
        size: height and width of the images.

    Returns:
        True where a pixel is given.

    Raises:
        InputError: no picture, of another size, or one that gives or hides nothing.
    """
    known: Bool[np.ndarray, "h w"] = _pixels(path, "L", size) >= 128
    if known.all() or not known.any():
        colour, what = ("white", "hides") if known.all() else ("black", "gives")
        raise InputError(
            f"mask {path}: expected white where a pixel is given and black where it is to be "
            f"generated, received {colour} everywhere, which {what} nothing"
        )
    return known


def _pixels(path: Path, mode: str, size: tuple[int, int]) -> UInt8[np.ndarray, "h w ..."]:
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert(mode))
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a picture, found no file") from error
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: expected a picture, such as a PNG ({error})") from error
    if pixels.shape[:2] != size:
        (height, width), (h, w) = size, pixels.shape[:2]
        raise InputError(
            f"{path}: expected a picture {width} pixels wide and {height} high, as the model's "
            f"images are, received {w} wide and {h} high"
        )
    return pixels

"""Folders of images (PNG and others), read with pillow."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ardm.data import splits
from ardm.data.dataset import Images
from ardm.data.folder import Folder
from ardm.errors import InputError

SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".webp")
CHANNELS = {"L": 1, "RGB": 3}
"""Pillow's modes that are read: 8 bits of grey, and 8 bits of each colour."""
NAMED = 10
"""Offending files that a message names."""


def measure(url: str) -> tuple[int, int, int]:
    """Read the shape of the first image of a folder.

    Args:
        url: of the folder, an fsspec URL or a local path.

    Returns:
        Height, width and channels.

    Raises:
        InputError: the folder has no image, or the first one cannot be used.
    """
    folder = Folder(url)
    name = folder.first(SUFFIXES)
    if name is None:
        raise InputError(f"{url}: expected a folder of images ({_kinds()}), found none")
    pixels = _decode(folder.read(name))
    if isinstance(pixels, str):
        raise InputError(f"{url}/{name}: expected 8 bits of grey or RGB, received {pixels}")
    height, width, channels = pixels.shape
    return height, width, channels


def read(folder: Folder, names: Sequence[str], shape: tuple[int, int, int]) -> dict[str, Images]:
    """Read all images of a folder into splits.

    Args:
        folder: where they lie.
        names: of all images, relative to the folder.
        shape: height, width and channels that every one of them must have.

    Returns:
        uint8 `[N, H, W, C]` under each of `train`, `valid`, `test`, in the order of the names.

    Raises:
        InputError: some are not images of that shape (it names them), or a split would be empty.
    """
    offending: list[str] = []
    arrays = {
        split: _read(folder, held, shape, offending)
        for split, held in splits.by_name(names, folder.url).items()
    }
    if offending:
        more = f" and {len(offending) - NAMED} more" if len(offending) > NAMED else ""
        raise InputError(
            f"{folder.url}: expected {len(names)} images, all of {_words(shape)}, received "
            f"{len(offending)} that are not: {', '.join(offending[:NAMED])}{more}; convert or "
            "remove them"
        )
    return arrays


def images_among(names: Sequence[str]) -> list[str]:
    """Those of the names that are images, by their endings."""
    return [name for name in names if name.lower().endswith(SUFFIXES)]


def _read(
    folder: Folder, names: Sequence[str], shape: tuple[int, int, int], offending: list[str]
) -> Images:
    array = np.zeros((len(names), *shape), np.uint8)
    for index, (name, data) in enumerate(folder.read_all(names)):
        pixels = _decode(data)
        if isinstance(pixels, str):
            offending.append(f"{name} ({pixels})")
        elif pixels.shape != shape:
            offending.append(f"{name} ({_words(pixels.shape)})")
        else:
            array[index] = pixels
    return array


def _decode(data: bytes) -> np.ndarray | str:
    """The pixels [H, W, C] of an image file, or what it is instead of one."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode not in CHANNELS:
                return f"mode {image.mode}"
            pixels = np.asarray(image, np.uint8)
    except Exception as error:  # pillow's decoders raise whatever their libraries do
        return f"unreadable: {error}"
    return pixels.reshape(*pixels.shape[:2], -1)


def _words(shape: Sequence[int]) -> str:
    height, width, channels = shape
    return f"{height}x{width}x{channels}"


def _kinds() -> str:
    return ", ".join(SUFFIXES)

"""The data inside the package: MNIST, binarized once by the recipe in `README.md`.

The file holds a line of JSON and then the pixels, compressed with xz.
"""

import hashlib
import json
import lzma
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from ardm.data.dataset import SPLITS, Dataset
from ardm.data.provenance import Report
from ardm.data.splits import origins_by_position
from ardm.errors import InputError

FILE = Path(__file__).with_name("binarized_mnist.xz")
FILE_SHA256 = "f710e48529eaa79350a45ade0cd5510ca87fd192a65ba1afc4e70fdc3862bbdb"

FORMAT = 1
"""Version of the file format."""


@cache
def read(path: Path = FILE) -> Dataset:
    """Read binarized MNIST once: 50,000 / 10,000 / 10,000 images of 28x28x1, two classes.

    Args:
        path: the packed file.

    Returns:
        The data set, whose arrays cannot be written to.

    Raises:
        InputError: the file is missing, or does not have the expected SHA-256.
    """
    data = verified(path, FILE_SHA256, "scripts/make_binarized_mnist.py")
    dataset = unpack(data, origin=str(path))
    return replace(dataset, report=Report(origins_by_position(dataset.name)))


def verified(path: Path, sha256: str, script: str) -> bytes:
    """Read a file of the package.

    Args:
        path: the file.
        sha256: its expected digest.
        script: the script that makes it, for the error message.

    Raises:
        InputError: the file is missing, or has another digest.
    """
    advice = f"install the package anew, or make the file with {script}"
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected the bundled data, found no file; {advice}") from error
    received = hashlib.sha256(data).hexdigest()
    if received != sha256:
        raise InputError(
            f"{path}: expected SHA-256 {sha256}, received {received}: the file is damaged; {advice}"
        )
    return data


def pack(dataset: Dataset) -> bytes:
    """Write a data set as one file.

    Args:
        dataset: the data set. With two classes a pixel takes one bit, otherwise one byte.

    Returns:
        The file's bytes.
    """
    arrays = [getattr(dataset, split) for split in SPLITS]
    header = {
        "format": FORMAT,
        "name": dataset.name,
        "shape": dataset.shape,
        "classes": dataset.classes,
        "sizes": [len(array) for array in arrays],
        "sha256": dataset.sha256,
    }
    pixels = [_to_bits(array) if dataset.classes == 2 else array for array in arrays]
    content = json.dumps(header).encode() + b"\n" + b"".join(array.tobytes() for array in pixels)
    # For gray values the best preset saves only 7% more and takes eight times as long.
    return lzma.compress(content, preset=6 if dataset.classes == 2 else 0)


def unpack(data: bytes, origin: str) -> Dataset:
    """Read the bytes that `pack` returned, and verify the digest.

    Args:
        data: the file's bytes.
        origin: where the bytes came from, for the error message.

    Returns:
        The data set.

    Raises:
        InputError: the file is damaged, or its arrays do not have the digest in its header.
    """
    try:
        header_line, _, pixels = lzma.decompress(data).partition(b"\n")
        header = json.loads(header_line)
        splits = _split(pixels, header["sizes"], tuple(header["shape"]), header["classes"])
    except (lzma.LZMAError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{origin}: expected a packed data set, received {len(data)} bytes that are not one "
            f"({error}); delete the file, and it will be made anew"
        ) from error
    dataset = Dataset.of(header["name"], header["classes"], splits)
    if dataset.sha256 != header["sha256"]:
        raise InputError(
            f"{origin}: expected arrays with SHA-256 {header['sha256']}, received "
            f"{dataset.sha256}; delete the file, and it will be made anew"
        )
    return dataset


def _to_bits(images: np.ndarray) -> np.ndarray:
    # Each row of pixels begins a new byte, which makes the compressed file smaller.
    count, height, width, channels = images.shape
    return np.packbits(images.reshape(count * height, width * channels), axis=-1)


def _split(
    pixels: bytes, sizes: list[int], shape: tuple[int, int, int], classes: int
) -> dict[str, np.ndarray]:
    height, width, channels = shape
    row = width * channels
    stored_row = math.ceil(row / 8) if classes == 2 else row
    stored = np.frombuffer(pixels, np.uint8).reshape(sum(sizes) * height, stored_row)
    rows = np.unpackbits(stored, axis=-1, count=row) if classes == 2 else stored
    images = rows.reshape(-1, *shape)
    images.setflags(write=False)
    return dict(zip(SPLITS, np.split(images, np.cumsum(sizes)[:-1]), strict=True))

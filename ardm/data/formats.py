"""Formats of published data: IDX files of MNIST and similar sets, and CIFAR-10's batches."""

import gzip
import math
import zlib

import numpy as np

from ardm.data.dataset import Images
from ardm.errors import InputError

MAGIC = b"\x00\x00\x08\x03"
"""Magic number of an array of unsigned bytes with three dimensions: images, rows, columns."""
HEADER = 16
"""Size of the header in bytes: the magic number, then three big-endian 32-bit sizes."""

TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))

TEST = "test_batch.bin"

RECORD = 1 + 3 * 32 * 32
"""Size of one image in bytes: its label, then the red, green and blue planes."""


def parse_idx(data: bytes, origin: str) -> Images:
    """Read the images of an IDX file.

    Args:
        data: the file's bytes, plain or packed with gzip.
        origin: where the bytes came from, for the error message.

    Returns:
        Gray values, uint8 `[N, H, W, 1]`.

    Raises:
        InputError: the bytes are not an IDX file of images, or the file is incomplete.
    """
    content = unpack(data, origin)
    if content[:4] != MAGIC or len(content) < HEADER:
        raise InputError(
            f"{origin}: expected an IDX file of images, which begins with {MAGIC.hex()}, received "
            f"{len(content)} bytes that begin with {content[:4].hex() or 'nothing'}"
        )
    count, height, width = np.frombuffer(content, ">u4", count=3, offset=4).tolist()
    expected = HEADER + math.prod((count, height, width))
    if len(content) != expected:
        raise InputError(
            f"{origin}: expected {expected} bytes for {count} images of {height}x{width}, "
            f"received {len(content)}; copy the file anew"
        )
    return np.frombuffer(content, np.uint8, offset=HEADER).reshape(count, height, width, 1)


def unpack(data: bytes, origin: str) -> bytes:
    """Decompress the bytes if they are gzip data; otherwise return them unchanged."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{origin}: damaged gzip file ({error}); copy it anew") from error


def parse_cifar(data: bytes, origin: str) -> Images:
    """Read the images of one CIFAR-10 batch; the labels are ignored.

    Args:
        data: the file's bytes.
        origin: where the bytes came from, for the error message.

    Returns:
        uint8 `[N, 32, 32, 3]`.

    Raises:
        InputError: the file does not consist of whole records.
    """
    if not data or len(data) % RECORD:
        raise InputError(
            f"{origin}: expected a binary batch of CIFAR-10, records of {RECORD} bytes, received "
            f"{len(data)} bytes; copy the file anew"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(np.moveaxis(planes, 1, -1))

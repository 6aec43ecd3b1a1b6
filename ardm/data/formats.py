"""Formats of published data: IDX files of MNIST and its relatives, CIFAR-10's batches."""

import gzip
import math
import zlib

import numpy as np

from ardm.data.dataset import Images
from ardm.errors import InputError

MAGIC = b"\x00\x00\x08\x03"
"""Unsigned bytes in three dimensions: images, rows, columns."""
HEADER = 16
"""Bytes: the magic number, then the three sizes in 32 bits, big end first."""


TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))

TEST = "test_batch.bin"

RECORD = 1 + 3 * 32 * 32
"""Bytes of one image: its label, then the red, the green and the blue plane."""


def parse_idx(data: bytes, origin: str) -> Images:
    """Read the images of an IDX file.

    Args:
        data: the file's bytes, plain or packed with gzip.
        origin: where they came from, for the message if they are no such file.

    Returns:
        Grey values, uint8 `[N, H, W, 1]`.

    Raises:
        InputError: not an IDX file of images, or not all of one.
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
    """Unpack a file if gzip packed it, whatever its name says; see `parse`."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{origin}: damaged gzip file ({error}); copy it anew") from error


def parse_cifar(data: bytes, origin: str) -> Images:
    """Read the images of one batch; the labels are left out.

    Args:
        data: the file's bytes.
        origin: where they came from, for the message if they are no such file.

    Returns:
        uint8 `[N, 32, 32, 3]`.

    Raises:
        InputError: the file is not made of whole records.
    """
    if not data or len(data) % RECORD:
        raise InputError(
            f"{origin}: expected a binary batch of CIFAR-10, records of {RECORD} bytes, received "
            f"{len(data)} bytes; copy the file anew"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(np.moveaxis(planes, 1, -1))

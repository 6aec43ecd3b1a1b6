"""CIFAR-10's binary batches, as they are published."""

import numpy as np

from ardm.data.dataset import Images
from ardm.errors import InputError

TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
RECORD = 1 + 3 * 32 * 32
"""Bytes of one image: its label, then the red, the green and the blue plane."""


def parse(data: bytes, origin: str) -> Images:
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

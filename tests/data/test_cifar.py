import numpy as np
import pytest

from ardm.data.formats import RECORD, parse_cifar
from ardm.errors import InputError


def test_planes_become_channels_and_labels_are_left_out():
    record = np.zeros((2, RECORD), np.uint8)
    record[:, 0] = 9
    record[1, 1 + 33] = 10  # red, row 1, column 1
    record[1, 1 + 1024 + 2] = 20  # green, row 0, column 2
    record[1, -1] = 30  # blue, the last pixel
    images = parse_cifar(record.tobytes(), "x")
    assert images.shape == (2, 32, 32, 3)
    assert (images[1, 1, 1, 0], images[1, 0, 2, 1], images[1, 31, 31, 2]) == (10, 20, 30)
    assert images.sum(dtype=int) == 60


@pytest.mark.parametrize("length", [0, 1, RECORD - 1, RECORD + 1])
def test_parts_of_records_are_refused(length):
    with pytest.raises(InputError, match=f"x: expected a binary batch.*received {length} bytes"):
        parse_cifar(bytes(length), "x")

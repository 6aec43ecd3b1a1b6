import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardm.data.formats import parse_idx
from ardm.errors import InputError
from tests.data.published import idx_file

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 20, 1), dtype=np.uint8)


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(st.integers(0, 5), st.integers(1, 40), st.integers(1, 40)), packed=st.booleans()
)
def test_a_round_trip_keeps_every_pixel(shape, packed):
    images = np.random.default_rng(0).integers(0, 256, (*shape, 1), dtype=np.uint8)
    content = idx_file(images)
    np.testing.assert_array_equal(
        parse_idx(gzip.compress(content, mtime=0) if packed else content, "x"), images
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "x: expected an IDX file.*0 bytes that begin with nothing"),
        (b"<html>", "begin with 3c68746d"),
        (idx_file(IMAGES)[:10], "10 bytes"),
        (b"\0\0\x08\x01" + idx_file(IMAGES)[4:], "begin with 00000801"),
        (idx_file(IMAGES)[:-1], "expected 1696 bytes for 3 images of 28x20, received 1695"),
        (idx_file(IMAGES) + b"\0", "received 1697"),
        (gzip.compress(idx_file(IMAGES), mtime=0)[:-9], "x: damaged gzip file"),
        (gzip.compress(idx_file(IMAGES), mtime=0)[:40] + b"xxxx", "x: damaged gzip file"),
    ],
)
def test_another_or_a_damaged_file_is_refused(content, fault):
    with pytest.raises(InputError, match=fault):
        parse_idx(content, "x")

import hashlib
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardm.compression import container
from ardm.compression.container import FileEntry, Header, pack, sha256, unpack
from ardm.errors import InputError

WORDS = np.array([1, 2**32 - 1, 7], np.uint32)


def header(**changes):
    usual = {
        "model": "0" * 64,
        "shape": (28, 28, 1),
        "classes": 2,
        "starts": (0, 100),
        "seed": 0,
        "orders": 1,
        "libraries": {"jax": "0.10.2"},
        "device": "cpu:cpu",
        "canary": "1" * 64,
        "words": len(WORDS),
        "stream": sha256(container.as_bytes(WORDS)),
        "content": "2" * 64,
        "files": (FileEntry(name="a.png", kind="png", size=1),),
    }
    return Header(**usual | changes)


def test_what_was_packed_is_unpacked():
    found, words = unpack(pack(header(), WORDS), "x.ardm")
    assert found == header()
    np.testing.assert_array_equal(words, WORDS)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_every_flipped_bit_is_noticed(place, bit):
    data = bytearray(pack(header(), WORDS))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(InputError):
        unpack(bytes(data), "x.ardm")


@given(st.integers(0, 10_000))
def test_every_truncation_is_noticed(size):
    data = pack(header(), WORDS)
    with pytest.raises(InputError):
        unpack(data[: size % len(data)], "x.ardm")


def test_another_version_is_named():
    data = bytearray(pack(header(), WORDS))
    data[len(container.MAGIC)] += 1
    with pytest.raises(InputError, match="expected version 2 of the format, received 3"):
        unpack(bytes(data), "x.ardm")


def test_what_is_no_such_file_is_named():
    for data in (b"", b"\x89PNG\r\n", b"PK\x03\x04" * 20):
        with pytest.raises(InputError, match="expected a file that `ardm compress` wrote"):
            unpack(data, "x.png")


def crafted(**changes):
    """A file whose header was changed by somebody who knows the format."""
    fields = json.loads(json.dumps(header().model_dump(mode="json"))) | changes
    return with_header(zlib.compress(json.dumps(fields).encode()))


def with_header(deflated):
    digest = hashlib.sha256(deflated).digest()
    fixed = struct.pack(">5sBI32s", container.MAGIC, container.VERSION, len(deflated), digest)
    return fixed + deflated + container.as_bytes(WORDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": 1},
        {"classes": 10**30},
        {"starts": []},
        {"files": []},
        {"words": -1},
        {"orders": 10**9},
        {"model": "zz"},
        {"more": 1},
        {"files": [{"name": "../../etc/passwd", "kind": "png", "size": 1}]},
        {"files": [{"name": "a\x00b", "kind": "png", "size": 1}]},
        {"files": [{"name": "a", "kind": "exe", "size": 1}]},
        {"files": [{"name": "a", "kind": "png", "size": 2**60}]},
    ],
)
def test_a_header_that_lies_is_refused(changes):
    with pytest.raises(InputError, match="damaged header"):
        unpack(crafted(**changes), "x.ardm")


@pytest.mark.parametrize(
    "deflated",
    [
        b"{}",
        b"",
        zlib.compress(b"{}" * 100)[:-5],
        zlib.compress(b"{}") + b"more",
        zlib.compress(bytes(2**25)),
    ],
    ids=["not deflated", "empty", "cut off", "something behind it", "huge"],
)
def test_a_header_that_does_not_inflate_is_refused(deflated):
    with pytest.raises(InputError, match="damaged header"):
        unpack(with_header(deflated), "x.ardm")

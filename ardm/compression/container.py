"""The file that `ardm compress` writes: a header, and the stream of the entropy coder.

It begins with `MAGIC`, the version of the format (one byte), the size of the header (four bytes,
big-endian) and its SHA-256. The header is JSON, deflated by zlib. The stream follows it, in
little-endian words of 32 bits. A file from elsewhere is read without executing anything, and its
header is checked before anything is computed.
"""

import hashlib
import json
import struct
import zlib
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from ardm.compression.coder import Words
from ardm.config import LARGEST_SEED, MOST, Section
from ardm.errors import InputError

MAGIC = b"\x93ARDM"
VERSION = 2
_FIXED = struct.Struct(">5sBI32s")

_LARGEST_HEADER = 2**24
"""Size in bytes, deflated or not, beyond which a header is refused."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Number = Annotated[int, Field(ge=0, le=MOST)]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")]


class FileEntry(Section):
    """One file of the set.

    Attributes:
        name: its name, without a folder.
        kind: how its content became examples: see `ardm.compression.files`.
        size: its number of images, characters or samples.
        white: the value of white in a file of two classes: 1 or 255.
        rate: samples per second of a recording.
        bits: bits of a sample of a recording.
    """

    name: Name
    kind: Literal["png", "idx", "text", "wav"]
    size: Number
    white: Literal[1, 255] | None = None
    rate: Annotated[int, Field(gt=0, le=MOST)] | None = None
    bits: Literal[8, 16] | None = None


class Header(Section):
    """What a decoder must know.

    Attributes:
        model: digest of the parameters (the EMA) that compressed the files.
        shape: height, width and channels of an example.
        classes: K.
        starts: start times of the network calls.
        seed: seed of the orders.
        orders: number of orders, of which each example uses the best.
        libraries: versions on which the bits of the counts depend.
        device: kind of the device.
        canary: SHA-256 of the counts of a fixed batch.
        words: length of the stream.
        stream: SHA-256 of the stream.
        content: SHA-256 of the values of all examples.
        files: the files, in the order of their examples.
    """

    model: Digest
    shape: tuple[Number, Number, Number]
    classes: Annotated[int, Field(ge=2, le=65_536)]
    starts: Annotated[tuple[Number, ...], Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)]
    orders: Annotated[int, Field(ge=1, le=1024)]
    libraries: dict[str, str]
    device: str
    canary: Digest
    words: Number
    stream: Digest
    content: Digest
    files: Annotated[tuple[FileEntry, ...], Field(min_length=1)]


def sha256(data: bytes | np.ndarray) -> str:
    """Hex digest of bytes, or of an array's bytes."""
    content = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
    return hashlib.sha256(content).hexdigest()


def pack(header: Header, words: Words) -> bytes:
    """The bytes of the file."""
    text = json.dumps(header.model_dump(mode="json", exclude_none=True), separators=(",", ":"))
    deflated = zlib.compress(text.encode(), 9)
    digest = hashlib.sha256(deflated).digest()
    return _FIXED.pack(MAGIC, VERSION, len(deflated), digest) + deflated + as_bytes(words)


def as_bytes(words: Words) -> bytes:
    """The bytes of a stream."""
    return words.astype("<u4").tobytes()


def unpack(data: bytes, origin: str) -> tuple[Header, Words]:
    """Read the bytes that `pack` returned, and verify the stream.

    Args:
        data: the bytes of the file.
        origin: the file, for messages.

    Raises:
        InputError: it is no such file, or damaged, or of another version.
    """
    if len(data) < _FIXED.size or data[: len(MAGIC)] != MAGIC:
        raise InputError(
            f"{origin}: expected a file that `ardm compress` wrote, received {len(data)} bytes "
            f"that begin with {data[:5].hex() or 'nothing'}"
        )
    _, version, size, digest = _FIXED.unpack_from(data)
    if version != VERSION:
        raise InputError(
            f"{origin}: expected version {VERSION} of the format, received {version}; decompress "
            "it with the version of ardm that wrote it"
        )
    end = _FIXED.size + size
    deflated = data[_FIXED.size : end]
    if size > _LARGEST_HEADER or hashlib.sha256(deflated).digest() != digest:
        raise InputError(f"{origin}: the header is damaged or cut off; copy the file anew")
    header = _header(_inflated(deflated, origin), origin)
    stream = data[end:]
    if len(stream) != 4 * header.words or sha256(stream) != header.stream:
        raise InputError(
            f"{origin}: expected a stream of {4 * header.words} bytes with SHA-256 "
            f"{header.stream[:12]}..., received {len(stream)} bytes with {sha256(stream)[:12]}...: "
            "the file is damaged; copy it anew"
        )
    return header, np.frombuffer(stream, "<u4").astype(np.uint32)


def _inflated(deflated: bytes, origin: str) -> bytes:
    """The JSON of a header; a few bytes that would inflate to gigabytes are refused."""
    inflator = zlib.decompressobj()
    try:
        text = inflator.decompress(deflated, _LARGEST_HEADER)
    except zlib.error as error:
        raise InputError(f"{origin}: damaged header ({error}); copy the file anew") from error
    if not inflator.eof or inflator.unused_data:
        raise InputError(
            f"{origin}: damaged header (expected at most {_LARGEST_HEADER} bytes of JSON and "
            "nothing behind them); copy the file anew"
        )
    return text


def _header(text: bytes, origin: str) -> Header:
    try:
        return Header.model_validate_json(text)
    except ValidationError as error:
        fault: Any = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "header"
        raise InputError(
            f"{origin}: damaged header ({where}: {fault['msg'].lower()}); copy the file anew"
        ) from error

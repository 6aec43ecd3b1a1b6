"""Files as examples of a model, without loss, and back."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt
from PIL import Image

from ardm.compression.container import FileEntry
from ardm.data import formats, waves
from ardm.data.alphabet import Alphabet
from ardm.data.crops import chunks
from ardm.data.pixels import decode
from ardm.data.provenance import Refused
from ardm.data.waves import Sound
from ardm.errors import InputError
from ardm.model.build import Model

SEQUENCES = ("text", "wav")
"""Kinds of files that are cut into sequences."""

_PNG = b"\x89PNG\r\n\x1a\n"


class Loaded(NamedTuple):
    """The examples of several files.

    Attributes:
        entries: the files, in the order of their examples.
        values: values 0 .. K-1.
        wanted: false where the last example of a text has no character.
    """

    entries: tuple[FileEntry, ...]
    values: UInt[np.ndarray, "num h w c"]
    wanted: Bool[np.ndarray, "num h w m"]


def load(
    paths: Sequence[Path], model: Model, alphabet: Alphabet | None, sound: Sound | None = None
) -> Loaded:
    """Read files as examples of a model.

    Args:
        paths: PNG or IDX files for a model of images, any files for a model of bytes, WAV files for
            one of recordings.
        model: the model.
        alphabet: alphabet of a model of texts; None for others.
        sound: rate and encoding of a model of recordings; None for others.

    Raises:
        InputError: a file cannot be read, or cannot be represented without loss; the message names
            all of them.
    """
    entries, values, errors = [], [], []
    for path in paths:
        try:
            content = _content(path)
            if alphabet:
                entry, examples = _text(path, content, model, alphabet)
            elif sound:
                entry, examples = _recording(path, content, model, sound)
            else:
                entry, examples = _images(path, content, model)
            entries.append(entry)
            values.append(examples)
        except InputError as error:
            errors.append(str(error))
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        errors.append(f"several files are named {', '.join(twice)}; rename them")
    if errors:
        raise InputError("\n".join(errors))
    joined = np.concatenate(values)
    return Loaded(tuple(entries), joined, wanted(entries, model))


def wanted(entries: Sequence[FileEntry], model: Model) -> Bool[np.ndarray, "num h w m"]:
    """Which dimensions of the examples of some files hold a value."""
    shape, length = model.objective.shape, model.shape[0]
    parts = [np.zeros((0, *shape), bool)]
    for entry in entries:
        full = np.ones((count(entry, model), *shape), bool)
        if entry.kind in SEQUENCES and entry.size % length:
            full[-1, entry.size % length :] = False
        parts.append(full)
    return np.concatenate(parts)


def count(entry: FileEntry, model: Model) -> int:
    """The number of examples of a file."""
    return -(-entry.size // model.shape[0]) if entry.kind in SEQUENCES else entry.size


def contents(
    entries: Sequence[FileEntry],
    values: UInt[np.ndarray, "num h w c"],
    model: Model,
    alphabet: Alphabet | None,
    sound: Sound | None = None,
) -> list[tuple[str, bytes]]:
    """The names and contents of the files whose examples were decoded."""
    files, first = [], 0
    for entry in entries:
        own = values[first : first + count(entry, model)]
        first += len(own)
        if entry.kind == "text" and alphabet is not None:
            data = alphabet.decode(own.reshape(-1)[: entry.size])
        elif entry.kind == "wav" and sound is not None:
            samples = sound.samples(own.reshape(-1)[: entry.size])
            data = waves.write(samples, entry.rate or sound.rate, entry.bits or 16)
        elif entry.kind == "idx":
            data = _idx(own * (entry.white or 1))
        else:
            data = _png(own[0], model.classes)
        files.append((entry.name, data))
    return files


def _text(
    path: Path, content: bytes, model: Model, alphabet: Alphabet
) -> tuple[FileEntry, UInt[np.ndarray, "n h w c"]]:
    length = model.shape[0]
    # The alphabet of bytes can represent any file, also one that is no text.
    is_bytes = alphabet.name == "bytes"
    found = np.frombuffer(content, np.uint8) if is_bytes else alphabet.encode(content, str(path))
    padded = np.pad(found, (0, -len(found) % length))
    entry = FileEntry(name=path.name, kind="text", size=len(found))
    return entry, padded.reshape(-1, length, 1, 1)


def _recording(
    path: Path, content: bytes, model: Model, sound: Sound
) -> tuple[FileEntry, UInt[np.ndarray, "n l 1 1"]]:
    try:
        samples, rate, bits = waves.read(content)
    except Refused as error:
        raise InputError(f"{path}: expected a WAV file, received: {error}") from error
    if rate != sound.rate:
        raise InputError(
            f"{path}: expected {sound.rate} samples per second, as the model's recordings have, "
            f"received {rate}"
        )
    values = waves.encode(samples, sound.encoding)
    if not np.array_equal(sound.samples(values), samples):
        raise InputError(
            f"{path}: its samples would not come back as they are: the model knows only 256 values "
            "of them (data.encoding: mu-law); use a model with data.encoding: linear"
        )
    entry = FileEntry(name=path.name, kind="wav", size=len(samples), rate=rate, bits=bits)
    return entry, chunks(values, model.shape[0], model.classes // 2)


def _images(
    path: Path, content: bytes, model: Model
) -> tuple[FileEntry, UInt[np.ndarray, "n h w c"]]:
    if content.startswith(_PNG):
        return _read_png(path, content, model)
    unpacked = formats.unpack(content, str(path))
    if unpacked[:4] != formats.MAGIC:
        raise InputError(
            f"{path}: expected a PNG, or an IDX file of images, received bytes that begin with "
            f"{content[:4].hex() or 'nothing'}"
        )
    images = formats.parse_idx(unpacked, str(path))
    _require_shape(path, images.shape[1:], model.shape)
    values, white = _without_loss(path, images, model.classes)
    name = path.name.removesuffix(".gz")
    return FileEntry(name=name, kind="idx", size=len(images), white=white), values


def _read_png(
    path: Path, content: bytes, model: Model
) -> tuple[FileEntry, UInt[np.ndarray, "n h w c"]]:
    try:
        picture = decode(content, transparency="refuse")
    except Refused as error:
        raise InputError(
            f"{path}: expected a picture that can be restored, received: {error}"
        ) from error
    if picture.changes:
        raise InputError(
            f"{path}: its pixels would not come back as they are: {'; '.join(picture.changes)}; "
            "save it with 8 bits per channel, gray or RGB"
        )
    _require_shape(path, picture.pixels.shape, model.shape)
    values, _ = _without_loss(path, picture.pixels[None], model.classes)
    return FileEntry(name=path.name, kind="png", size=1, white=None), values


def _require_shape(path: Path, received: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(received) != expected:
        shapes = ["x".join(map(str, shape)) for shape in (expected, received)]
        raise InputError(
            f"{path}: expected images of {shapes[0]} (height, width, channels), as the model's "
            f"are, received {shapes[1]}"
        )


def _without_loss(
    path: Path, images: UInt[np.ndarray, "n h w c"], classes: int
) -> tuple[UInt[np.ndarray, "n h w c"], Literal[1, 255] | None]:
    """Images as values 0 .. K-1, and the value of white if there are two classes."""
    if classes == 256:
        return images, None
    largest = int(images.max(initial=0))
    white: Literal[1, 255] = 255 if largest == 255 else 1
    if classes != 2 or not np.isin(images, (0, white)).all():
        raise InputError(
            f"{path}: expected images of {classes} values, as the model's are, received values up "
            f"to {largest}; a model of 256 values (jobs/mnist.yaml) represents gray ones"
        )
    return (images == white).astype(np.uint8), white


def _png(image: UInt[np.ndarray, "h w c"], classes: int) -> bytes:
    out = io.BytesIO()
    pixels = image * 255 if classes == 2 else image
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.convert("1" if classes == 2 else picture.mode).save(out, "PNG", optimize=True)
    return out.getvalue()


def _idx(images: UInt[np.ndarray, "n h w 1"]) -> bytes:
    sizes = np.array(images.shape[:3], ">u4").tobytes()
    return formats.MAGIC + sizes + images.astype(np.uint8).tobytes()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error

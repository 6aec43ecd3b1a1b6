"""Texts: the bundled novel, the user's files, and the published files of text8 and enwik8."""

import io
import zipfile
import zlib

import numpy as np
from jaxtyping import UInt8

from ardm.data import bundled_text, sequences
from ardm.data.alphabet import Alphabet, not_utf8
from ardm.data.config import DataConfig, alphabet, describe
from ardm.data.dataset import Dataset
from ardm.data.folder import locate
from ardm.data.provenance import Report, Unused
from ardm.data.splits import SAME_FILE
from ardm.errors import InputError

PUBLISHED_SIZE = 100_000_000
"""Bytes of text8, and of enwik8."""

NOT_TEXT = "no text in UTF-8"


def read(config: DataConfig) -> Dataset:
    """Read a data set of texts.

    Args:
        config: the `data` section.

    Returns:
        The data set. Its examples are sequences of `length` characters, or bytes.

    Raises:
        InputError: files are missing or too short, or have characters outside of the alphabet.
    """
    (length, _, _), _ = describe(config)
    letters = Alphabet(alphabet(config))
    if config.source == "bundled":
        text, origin, report = bundled_text.read(), bundled_text.TITLE, Report()
        values = letters.encode(text, origin)
    elif config.dataset == "text":
        origin = str(config.path)
        values, left_out = _joined(origin, letters)
        report = Report(left_out=left_out)
    else:
        origin = str(config.path)
        values, report = _published(config.dataset, origin, letters), Report()
    return sequences.cut(config.dataset, letters.classes, values, length, report, origin)


def _joined(path: str, letters: Alphabet) -> tuple[UInt8[np.ndarray, " n"], list[Unused]]:
    """Join the texts of a folder in the order of their names.

    A newline at the end of a file is replaced by one separator: a newline, or the space of text8.
    """
    folder, listing = locate(path)
    one = len(listing.files) == 1 and not listing.unused
    separator = b"\n" if letters.name == "bytes" else b" "
    parts, left_out, first = [], list(listing.unused), dict[str, str]()
    for name, content in folder.read_all(list(listing.files)):
        kept = first.setdefault(listing.files[name], name)
        text = content.removesuffix(b"\n").removesuffix(b"\r")
        if kept != name:
            left_out.append(Unused(name, SAME_FILE, f"as {kept}"))
        elif not text:
            left_out.append(Unused(name, "empty file"))
        elif not one and (reason := not_utf8(content)):
            left_out.append(Unused(name, NOT_TEXT, reason))
        else:
            parts.append(letters.encode(text + separator, f"{folder.url}/{name}"))
    if not parts:
        found = "; ".join(map(str, left_out[:3])) or "no file"
        raise InputError(f"{path}: expected a text in UTF-8 or a folder of them, found {found}")
    return np.concatenate(parts), left_out


def _published(name: str, path: str, letters: Alphabet) -> UInt8[np.ndarray, " n"]:
    """Read the file `text8` or `enwik8`, plain or in its archive."""
    folder, listing = locate(path)
    for wanted in (name, f"{name}.zip"):
        matches = [file for file in listing.files if file.rsplit("/", 1)[-1] == wanted]
        if matches:
            content = _unzip(folder.read(matches[0]), name, f"{folder.url}/{matches[0]}")
            break
    else:
        raise InputError(
            f"{path}: expected the file {name} or {name}.zip, found neither; download it from "
            f"https://mattmahoney.net/dc/{name}.zip"
        )
    if len(content) != PUBLISHED_SIZE:
        raise InputError(
            f"{path}: expected {PUBLISHED_SIZE:,} bytes of {name}, received {len(content):,}; copy "
            "it anew, or read another text with `dataset: text`"
        )
    return letters.encode(content, f"{folder.url}/{matches[0]}")


def _unzip(content: bytes, name: str, origin: str) -> bytes:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(name) as file:
            return file.read(PUBLISHED_SIZE + 1)
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, EOFError, RuntimeError) as error:
        raise InputError(f"{origin}: damaged archive ({error}); copy it anew") from error

"""Reads the text of a job file: a file of bounded size, in any Unicode encoding."""

import codecs
import stat
from pathlib import Path

from ardm.errors import SpecError
from ardm.job.yaml_tree import LARGEST

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16's mark, with which it begins
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_MOST_BYTES = 4 * LARGEST
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def read(path: Path) -> str:
    """The text of a file.

    Args:
        path: path of a regular file, or of a pipe that this process holds (`/dev/stdin`,
            `/dev/fd/63`).

    Raises:
        SpecError: the path is of another kind, or the file cannot be read, is too large, or is not
            Unicode.
    """
    try:
        mode = path.stat().st_mode
        # A read from a named pipe may block for ever, and one from a device may never end.
        own_pipe = stat.S_ISFIFO(mode) and path.is_relative_to("/dev")
        if not stat.S_ISREG(mode) and not own_pipe:
            kind = _KINDS.get(stat.S_IFMT(mode), "something else")
            raise SpecError(str(path), [f"cannot be read: expected a file, got {kind}"])
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise SpecError(str(path), [f"cannot be read: {reason}"]) from error
    if len(data) > _MOST_BYTES:
        fault = f"expected a job file of at most {_MOST_BYTES} bytes, got more"
        raise SpecError(str(path), [fault])
    return decode(data, str(path))


def decode(data: bytes, source: str) -> str:
    """Decode bytes as UTF-8, or in the encoding of their byte-order mark.

    Raises:
        SpecError: the bytes are not in that encoding; the message names the first line at fault.
    """
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    try:
        text = data[len(mark) :].decode(_MARKS.get(mark, "utf-8"))
    except UnicodeDecodeError as error:
        line = data[: len(mark) + error.start].count(b"\n") + 1
        raise SpecError(
            source,
            [
                f"cannot be read: line {line} is not {error.encoding.upper()} "
                f"(byte 0x{error.object[error.start]:02x}); save the file as UTF-8"
            ],
        ) from error
    if "\0" in text:
        fault = "cannot be read: it holds NUL characters, as UTF-16 without a byte-order mark does"
        raise SpecError(source, [f"{fault}; save the file as UTF-8"])
    return text

"""The alphabets of texts: how characters become classes, and classes characters."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Integer, UInt8

from ardm.data.config import ALPHABETS, AlphabetName
from ardm.errors import InputError

BLANK = "_"
"""Stands for a hidden character, in a prompt and in what is printed of an unfinished text."""

_TEXT8 = b" abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Alphabet:
    """An alphabet.

    Attributes:
        name: `bytes`, the 256 bytes of UTF-8; or `text8`, the space and the letters a to z.
    """

    name: AlphabetName

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return ALPHABETS[self.name]

    def encode(self, text: bytes, origin: str) -> UInt8[np.ndarray, " n"]:
        """Turn a text into classes.

        Args:
            text: UTF-8.
            origin: where the text comes from, for the error message.

        Raises:
            InputError: the text is not UTF-8, or has a character outside of the alphabet.
        """
        if reason := not_utf8(text):
            raise InputError(
                f"{origin}: expected a text in UTF-8, received {reason}; convert it, for example "
                "with iconv"
            )
        values = np.frombuffer(text, np.uint8)
        if self.name == "bytes":
            return values
        table = np.full(256, len(_TEXT8), np.uint8)
        table[np.frombuffer(_TEXT8, np.uint8)] = np.arange(len(_TEXT8), dtype=np.uint8)
        classes: UInt8[np.ndarray, " n"] = table[values]
        outside = np.flatnonzero(classes == len(_TEXT8))
        if len(outside):
            raise InputError(f"{origin}: {_outside(text, int(outside[0]))}")
        return classes

    def decode(self, values: Integer[np.ndarray, " n"]) -> bytes:
        """Turn classes into bytes of text."""
        if self.name == "text8":
            values = np.frombuffer(_TEXT8, np.uint8)[values]
        return values.astype(np.uint8).tobytes()

    def show(self, values: Int[np.ndarray, " n"] | UInt8[np.ndarray, " n"]) -> str:
        r"""Turn classes into text for a terminal.

        Args:
            values: classes; hidden characters are negative and are shown as `BLANK`.

        Returns:
            The text. Bytes that are not UTF-8 and control characters except for the newline and
            the tabulator are shown as escapes such as `\x07`.
        """
        hidden = values < 0
        text = self.decode(np.where(hidden, 0, values))
        shown = np.where(hidden, ord(BLANK), np.frombuffer(text, np.uint8)).astype(np.uint8)
        decoded = shown.tobytes().decode("utf-8", "backslashreplace")
        return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in decoded)


def show_all(
    values: Int[np.ndarray, "n l 1 1"] | UInt8[np.ndarray, "n l 1 1"], alphabet: Alphabet
) -> list[str]:
    """Several sequences as texts for a terminal: see `Alphabet.show`."""
    return [alphabet.show(sequence.reshape(-1)) for sequence in values]


def not_utf8(text: bytes) -> str | None:
    """A phrase that says where a text is not UTF-8; None if all of it is."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        line, column = _position(text, error.start)
        return f"the byte 0x{text[error.start]:02x} in line {line}, column {column}"
    return None


def _outside(text: bytes, place: int) -> str:
    """A sentence that names a character outside of the alphabet text8."""
    line, column = _position(text, place)
    character = text[place : place + 4].decode("utf-8", "ignore")[0]
    return (
        f"line {line}, column {column}: expected a lower-case letter a to z or a space, received "
        f"{character!r} (U+{ord(character):04X}); use `alphabet: bytes`, which has a class for "
        "each of the 256 bytes and holds every text"
    )


def _position(text: bytes, place: int) -> tuple[int, int]:
    """Line and column of a byte, from 1; columns are counted in characters."""
    begin = text.rfind(b"\n", 0, place) + 1
    column = len(text[begin:place].decode("utf-8", "ignore")) + 1
    return text.count(b"\n", 0, place) + 1, column

"""Sequences of one length within longer ones, as an array that is never stored whole."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt


class Crops:
    """All sequences of a length within several long ones, which begin at each of their values.

    A long one that is too short is filled up at its end, and counts as one sequence. Indices and
    lists of indices select sequences as they do images in an array `[N, length, 1, 1]`.

    Args:
        wholes: the long sequences, at least one.
        length: length of a sequence.
        filling: the value that fills up short ones.
    """

    def __init__(
        self, wholes: Sequence[UInt[np.ndarray, " _n"]], length: int, filling: int = 0
    ) -> None:
        missing = [max(length - len(whole), 0) for whole in wholes]
        filled = [
            np.pad(whole, (0, few), constant_values=filling) if few else whole
            for whole, few in zip(wholes, missing, strict=True)
        ]
        self._values = filled[0] if len(filled) == 1 else np.concatenate(filled)
        self._length = length
        sizes = np.array([len(whole) for whole in filled])
        self._begins = np.concatenate([[0], np.cumsum(sizes)])
        self._ends = np.cumsum(sizes - length + 1)
        """For each long sequence one past the index of its last short one."""

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The type of the values."""
        return self._values.dtype

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array that this stands for."""
        return len(self), self._length, 1, 1

    @property
    def size(self) -> int:
        """The number of values that are stored."""
        return self._values.size

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: Sequence[int]) -> UInt[np.ndarray, "n length 1 1"]:
        chosen = np.asarray(index)
        whole = np.searchsorted(self._ends, chosen, side="right")
        before = np.where(whole > 0, self._ends[whole - 1], 0)
        begin = self._begins[whole] + chosen - before
        return self._values[begin[:, None] + np.arange(self._length)][:, :, None, None]

    def in_turn(self) -> UInt[np.ndarray, "n length 1 1"]:
        """The sequences that follow each other without overlap, from the begin of each long one.

        What is left at the end of a long one is not in any of them.
        """
        length = self._length
        parts = [
            chunks(self._values[begin : end - (end - begin) % length], length)
            for begin, end in zip(self._begins[:-1], self._begins[1:], strict=True)
        ]
        return np.concatenate(parts)

    def content(self) -> bytes:
        """The bytes of all values and the bounds of the long sequences, for a digest."""
        return self._begins.astype("<i8").tobytes() + self._values.tobytes()


def chunks(
    values: UInt[np.ndarray, " _n"], length: int, filling: int = 0
) -> UInt[np.ndarray, "n length 1 1"]:
    """Cut a sequence into ones of equal length; the last one is filled up at its end."""
    padded = np.pad(values, (0, -len(values) % length), constant_values=filling)
    return padded.reshape(-1, length, 1, 1)

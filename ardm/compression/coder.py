"""The entropy coder: constriction's range coder, the library of the field, fed with counts.

A range coder is a queue: what was written first is read first. So an encoder and a decoder take the
same walk through the dimensions.
"""

import constriction
import numpy as np
from jaxtyping import Int, UInt32

from ardm.errors import InputError

Words = UInt32[np.ndarray, " words"]

# constriction (0.5) puts its modules into its namespace only; they cannot be imported by name.
_queue, _models = constriction.stream.queue, constriction.stream.model


class Encoder:
    """Writes values."""

    def __init__(self) -> None:
        self._coder = _queue.RangeEncoder()

    def __call__(
        self, counts: Int[np.ndarray, "n k"], values: Int[np.ndarray, " n"] | None
    ) -> Int[np.ndarray, " n"]:
        """Write values 0 .. K-1; see `ardm.model.coding.Code`."""
        assert values is not None
        if len(values):
            self._coder.encode(values.astype(np.int32), _model(), _probabilities(counts))
        return values

    def words(self) -> Words:
        """The stream so far."""
        words: Words = self._coder.get_compressed()
        return words


class Decoder:
    """Reads the values that an encoder wrote.

    Args:
        words: the stream.
    """

    def __init__(self, words: Words) -> None:
        self._coder = _queue.RangeDecoder(words)

    def __call__(
        self, counts: Int[np.ndarray, "n k"], values: Int[np.ndarray, " n"] | None
    ) -> Int[np.ndarray, " n"]:
        """Read values 0 .. K-1; see `ardm.model.coding.Code`.

        Raises:
            InputError: the stream holds something else.
        """
        if not len(counts):
            return np.zeros(0, np.int32)
        try:
            read: Int[np.ndarray, " n"] = self._coder.decode(_model(), _probabilities(counts))
        except (AssertionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"the stream holds values that this model cannot have written ({error}); compress "
                "the files anew"
            ) from error
        return read


def _model() -> object:
    return _models.Categorical(lazy=True)


def _probabilities(counts: Int[np.ndarray, "n k"]) -> np.ndarray:
    # Counts below 2**24 and their quotients by a power of two are exact in float32.
    total = counts[0].sum()
    return (counts / total).astype(np.float32)

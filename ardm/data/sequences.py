"""A long sequence, such as a text, as a data set of short ones."""

import hashlib
from dataclasses import replace

import numpy as np
from jaxtyping import Integer

from ardm.data.crops import Crops, chunks
from ardm.data.dataset import SPLITS, Dataset
from ardm.data.media import TEXT
from ardm.data.provenance import Report
from ardm.errors import InputError

ONE_IN = 20
"""One in how many characters is held out as `valid`, and as many as `test`."""


_ROUNDED = "rounded up to whole sequences"
_ORIGINS = {
    "train": "the beginning of the text",
    "valid": f"the twentieth before test, {_ROUNDED}",
    "test": f"the last twentieth, {_ROUNDED}",
}


def cut(
    name: str,
    classes: int,
    values: Integer[np.ndarray, " n"],
    length: int,
    report: Report,
    origin: str,
) -> Dataset:
    """Cut a long sequence into training, validation and test parts, in this order.

    The last two are a twentieth of the values each, rounded up to whole sequences of `length`, so
    they consist of sequences that hold each of their values once. Training draws from all sequences
    of `length` within the first part; they overlap.

    Args:
        name: name of the data set.
        classes: K, the number of classes.
        values: the values 0 .. K-1.
        length: length of one sequence.
        report: where the values were read from.
        origin: the same as a phrase, for the error message.

    Returns:
        The data set; an example has the shape `[length, 1, 1]`.

    Raises:
        InputError: there are not enough values.
    """
    whole = -(-len(values) // (ONE_IN * length)) * length
    if len(values) < 2 * whole + length:
        raise InputError(
            f"{origin}: expected at least three sequences of data.length={length}, one each for "
            f"train, valid and test, received {len(values):,} characters; give more text, or a "
            f"data.length of at most {len(values) // 3}"
        )
    train, valid, test = np.split(values, [-2 * whole, -whole])
    digest = hashlib.sha256(f"length {length}\n".encode())
    for split, part in zip(SPLITS, (train, valid, test), strict=True):
        digest.update(f"{split} {len(part)}\n".encode())
        digest.update(np.ascontiguousarray(part).data)
    return Dataset(
        name=name,
        shape=(length, 1, 1),
        classes=classes,
        train=Crops([train], length),
        valid=chunks(valid, length),
        test=chunks(test, length),
        sha256=digest.hexdigest(),
        report=replace(report, origins=_ORIGINS),
        places=TEXT.places,
    )

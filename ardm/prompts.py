"""Prompts: which characters or samples are given, and which are to be generated."""

import numpy as np
from jaxtyping import UInt

from ardm.data.alphabet import BLANK, Alphabet
from ardm.data.media import IMAGE, Medium
from ardm.errors import InputError
from ardm.model.objective import Objective
from ardm.model.sampling import Given


def read(
    medium: Medium,
    alphabet: Alphabet | None,
    objective: Objective,
    *,
    length: int | None = None,
    prompt: str | None = None,
    infill: str | None = None,
) -> Given:
    """Find out what is given and what is wanted of an example.

    Args:
        medium: what the model generates.
        alphabet: alphabet of a model of texts; None for others.
        objective: objective of the model.
        length: number of characters to generate, with those of the prompt, or of samples; default:
            the length of the model's sequences.
        prompt: the beginning of the text.
        infill: a text in which every `_` is one hidden character.

    Raises:
        InputError: two options exclude each other, a text is too long for the model or outside of
            its alphabet, nothing is left to generate, or the model has no such options.
    """
    if alphabet is None:
        options = {"--prompt": prompt, "--infill": infill}
        if medium == IMAGE and length is not None:
            options["--length"] = str(length)
        if used := [option for option, value in options.items() if value is not None]:
            raise InputError(
                f"{used[0]}: the model generates {medium.examples}, no texts; leave it out, or "
                "give parts of them with `ardm inpaint`"
            )
        if length is None:
            return Given.nothing(objective)
    limit = objective.D
    if infill is not None and (prompt is not None or length is not None):
        raise InputError(
            "--infill gives the whole text with its blanks, so neither --prompt nor --length goes "
            "with it; leave one of them out"
        )
    total = limit if length is None else length
    if total > limit:
        raise InputError(
            f"--length {length}: the model generates sequences of at most {limit} {medium.places} "
            "(data.length); give a smaller length"
        )
    if alphabet is None:
        return Given.nothing(objective)._replace(
            wanted=np.arange(limit).reshape(objective.shape) < total
        )
    if infill is not None:
        return _infill(alphabet, limit, infill)
    given = _encode(alphabet, "--prompt", prompt or "")
    if len(given) >= total:
        raise InputError(
            f"--prompt: expected less than the {total} characters of the text, received "
            f"{len(given)}; shorten it{'' if total == limit else ', or give a larger --length'}"
        )
    at = np.arange(limit)
    return _given(np.pad(given, (0, limit - len(given))), at < len(given), at < total)


def _infill(alphabet: Alphabet, limit: int, text: str) -> Given:
    # The blank is replaced by a character of every alphabet, so that its place stays the same.
    values = _encode(alphabet, "--infill", text.replace(BLANK, " "))
    hidden = np.frombuffer(text.encode(), np.uint8) == ord(BLANK)
    if len(values) > limit:
        raise InputError(
            f"--infill: the model generates sequences of at most {limit} characters (data.length), "
            f"received {len(values)}; shorten the text"
        )
    if not hidden.any():
        raise InputError(f"--infill: expected a {BLANK} for each character to generate, found none")
    padding = (0, limit - len(values))
    known = np.pad(~hidden, padding)
    return _given(np.pad(np.where(hidden, 0, values), padding), known, np.pad(hidden, padding))


def _encode(alphabet: Alphabet, option: str, text: str) -> UInt[np.ndarray, " n"]:
    return alphabet.encode(text.encode("utf-8", "surrogateescape"), option)


def _given(values: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> Given:
    columns = (values.astype(np.uint8), known, wanted & ~known)
    return Given(*(column.reshape(-1, 1, 1) for column in columns))

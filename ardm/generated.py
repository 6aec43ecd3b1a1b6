"""What a trained model generates: samples, and completed images, texts or recordings."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt

from ardm.data.alphabet import Alphabet, show_all
from ardm.data.waves import Sound
from ardm.errors import InputError


class Calls(NamedTuple):
    """The network calls that generate one image.

    Attributes:
        starts: the generation step at which each call begins.
        kind: kind of the policy: `optimal`, `uniform` or `sequential` (one call per dimension).
    """

    starts: Int[np.ndarray, " budget"]
    kind: str


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated images, texts or recordings; a notebook shows them.

    >>> samples = model.sample(4, budget=10)
    >>> samples.images.shape, samples.calls, samples.policy
    ((4, 28, 28, 1), 10, 'optimal')

    Attributes:
        images: the images, with values 0 .. K-1; texts and recordings have the shape `[L, 1, 1]`.
        chain: all images before the first network call and after every call, -1 where a dimension
            is not generated yet; None unless requested.
        calls: number of network calls per image.
        policy: kind of the policy: `optimal`, `uniform` or `sequential`.
        classes: number of values of a dimension, K.
        alphabet: alphabet of the texts; None for others.
        sound: rate and encoding of the recordings; None for others.
    """

    images: UInt[np.ndarray, "num h w c"]
    chain: Int[np.ndarray, "frames num h w c"] | None
    calls: int
    policy: str
    classes: int
    alphabet: Alphabet | None = None
    sound: Sound | None = None

    @property
    def texts(self) -> list[str]:
        """The texts; bytes that are not UTF-8 and control characters are shown as escapes.

        Raises:
            InputError: the model generates images.
        """
        return show_all(self.images, _letters(self.alphabet))

    def chain_texts(self) -> list[list[str]]:
        """The chain as texts, with `_` for a character that is not generated yet.

        Raises:
            InputError: the model generates images, or no chain was requested.
        """
        if self.chain is None:
            raise InputError("no chain was kept; sample with chain=True")
        return [show_all(frame, _letters(self.alphabet)) for frame in self.chain]

    def waves(self) -> list[bytes]:
        """The recordings as WAV files.

        Raises:
            InputError: the model generates others.
        """
        sound = _sound(self.sound)
        return [sound.wav(values) for values in self.images]

    def png(self) -> bytes:
        """The images as a grid, or the waves and spectrograms of recordings; a PNG file."""
        from ardm.plots import pictures, sound_sheets  # Matplotlib takes a second to import

        if self.sound is not None:
            return sound_sheets.sheet(self.sound.samples(self.images[:, :, 0, 0]), self.sound.rate)
        return pictures.grid(self.images, self.classes)

    def save(self, path: str | Path) -> None:
        """Write the picture to a PNG file, or the texts to a text file."""
        from ardm.plots import text_sheets

        data = self.png() if self.alphabet is None else text_sheets.sheet(self.texts).encode()
        Path(path).write_bytes(data)

    def _repr_png_(self) -> bytes | None:
        return self.png() if self.alphabet is None else None

    def _repr_markdown_(self) -> str | None:
        if self.alphabet is None:
            return None
        from ardm.plots import text_sheets

        return text_sheets.markdown(self.texts)


@dataclass(frozen=True, eq=False)
class Completions:
    """Completed images, texts or recordings; a notebook shows the images beside what was given.

    Attributes:
        images: several completions of each given image, with values 0 .. K-1.
        originals: the images of which a part was given.
        known: true where a pixel was given.
        calls: number of network calls per image.
        policy: kind of the policy: `optimal`, `uniform` or `sequential`.
        classes: number of values of a dimension, K.
        alphabet: alphabet of the texts; None for others.
        sound: rate and encoding of the recordings; None for others.
    """

    images: UInt[np.ndarray, "n completions h w c"]
    originals: UInt[np.ndarray, "n h w c"]
    known: Bool[np.ndarray, "h w"]
    calls: int
    policy: str
    classes: int
    alphabet: Alphabet | None = None
    sound: Sound | None = None

    @property
    def texts(self) -> list[list[str]]:
        """The completions of each given text: see `Samples.texts`.

        Raises:
            InputError: the model generates images.
        """
        letters = _letters(self.alphabet)
        return [show_all(completions, letters) for completions in self.images]

    def png(self) -> bytes:
        """A row for each image: the original, its given part, its completions; a PNG file.

        Raises:
            InputError: the model generates texts or recordings.
        """
        from ardm.plots import pictures

        if self.alphabet is not None or self.sound is not None:
            raise InputError("the model generates no images; use .texts or .images")
        return pictures.completion_grid(self.originals, self.known, self.images, self.classes)

    def save(self, path: str | Path) -> None:
        """Write the picture to a PNG file."""
        Path(path).write_bytes(self.png())

    def _repr_png_(self) -> bytes | None:
        return self.png() if self.alphabet is None and self.sound is None else None


def _letters(alphabet: Alphabet | None) -> Alphabet:
    if alphabet is None:
        raise InputError("the model generates no texts; use .images")
    return alphabet


def _sound(sound: Sound | None) -> Sound:
    if sound is None:
        raise InputError("the model generates no recordings; use .images")
    return sound

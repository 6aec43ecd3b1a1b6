"""Recordings as WAV files and as classes.

soundfile (libsndfile) reads and writes the files, and soxr changes the rate: the libraries of the
field for both.
"""

import io
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int16, Integer, UInt

from ardm.data.config import EncodingName
from ardm.data.provenance import Refused

_MU = 255.0
_FULL = 32_768
"""Half the range of 16-bit samples."""
_SUBTYPES: dict[str, "Bits"] = {"PCM_U8": 8, "PCM_16": 16}

Bits = Literal[8, 16]
Samples = Int16[np.ndarray, " n"]


def encode(samples: Samples, encoding: EncodingName) -> UInt[np.ndarray, " n"]:
    """Turn 16-bit samples into classes 0 .. K-1; silence is K / 2.

    `mu-law` spaces its classes evenly in the logarithm of the amplitude (ITU-T G.711, in its
    continuous form with mu = 255); `linear` keeps every sample as it is.
    """
    if encoding == "linear":
        return (samples.astype(np.int32) + _FULL).astype(np.uint16)
    x = samples.astype(np.float64) / _FULL
    y = np.sign(x) * np.log1p(_MU * np.abs(x)) / np.log1p(_MU)
    return np.clip(np.floor((y + 1.0) * 128.0), 0, 255).astype(np.uint8)


def decode(values: Integer[np.ndarray, "..."], encoding: EncodingName) -> Int16[np.ndarray, "..."]:
    """Turn classes into 16-bit samples; of `mu-law`, the middle of each class."""
    if encoding == "linear":
        return (values.astype(np.int32) - _FULL).astype(np.int16)
    y = (values.astype(np.float64) + 0.5) / 128.0 - 1.0
    x = np.sign(y) * ((1.0 + _MU) ** np.abs(y) - 1.0) / _MU
    return np.clip(np.rint(x * _FULL), -_FULL, _FULL - 1).astype(np.int16)


class Sound(NamedTuple):
    """How the classes of a model of recordings sound.

    Attributes:
        rate: samples per second.
        encoding: how samples became classes.
    """

    rate: int
    encoding: EncodingName

    def samples(self, values: Integer[np.ndarray, "..."]) -> Int16[np.ndarray, "..."]:
        """16-bit samples of classes."""
        return decode(values, self.encoding)

    def wav(self, values: Integer[np.ndarray, "..."]) -> bytes:
        """A WAV file of a sequence of classes, of any shape."""
        return write(self.samples(values).reshape(-1), self.rate)


def read(content: bytes) -> tuple[Samples, int, Bits]:
    """Read a WAV file.

    Returns:
        Its samples, with 16 bits each; its samples per second; and the bits of a sample in it.

    Raises:
        Refused: it is no WAV file of one channel with whole numbers of 8 or 16 bits.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.format not in ("WAV", "WAVEX", "RF64"):
                raise Refused("no WAV file", f"it is {file.format}")
            if file.channels != 1:
                raise Refused("several channels", f"{file.channels}, expected one (mono)")
            if file.subtype not in _SUBTYPES:
                raise Refused("kind of samples", f"{file.subtype}, expected 8 or 16 bit PCM")
            rate, bits = file.samplerate, _SUBTYPES[file.subtype]
            samples: Samples = file.read(dtype="int16")
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise Refused("damaged WAV file", str(error)) from error
    if rate <= 0:
        raise Refused("rate of 0", "expected the samples per second")
    if not len(samples):
        raise Refused("no samples")
    return samples, rate, bits


def write(samples: Samples, rate: int, bits: int = 16) -> bytes:
    """A WAV file of one channel.

    Args:
        samples: 16-bit samples.
        rate: samples per second.
        bits: 8 or 16. The lower eight bits of the samples must be 0 for 8.
    """
    import soundfile

    out = io.BytesIO()
    subtype = next(name for name, of in _SUBTYPES.items() if of == bits)
    soundfile.write(out, samples, rate, format="WAV", subtype=subtype)
    return out.getvalue()


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Change the samples per second; frequencies stay, and those that no longer fit are removed."""
    if rate == wanted:
        return samples
    import soxr

    changed = soxr.resample(samples.astype(np.float64), rate, wanted, quality="VHQ")
    return np.clip(np.rint(changed), -_FULL, _FULL - 1).astype(np.int16)

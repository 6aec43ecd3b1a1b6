"""Proposes a model for the user's own images, texts or recordings."""

from collections import Counter
from collections.abc import Sequence
from math import gcd
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ardm.data import image_folder, recordings, waves
from ardm.data.alphabet import Alphabet
from ardm.data.dataset import spread_indices
from ardm.data.folder import Folder, locate
from ardm.data.provenance import Refused
from ardm.data.walk import Listing
from ardm.errors import InputError

LOOKED_AT = 64
"""Number of recordings, or of texts, from which a proposal is made."""

MOST_POSITIONS = 32
"""Longest side of the finest level, in positions: with more, a step on a CPU takes too long."""

LENGTH, SHORTEST = 256, 16
"""Length of a sequence of text, and the least to which a short text lowers it (characters)."""

SOUND_LENGTH, FASTEST = 2048, 16_000
"""Length of a sequence of audio (samples), and the largest rate that is proposed."""


class Proposal(NamedTuple):
    """What a job needs to know about the data of a user.

    Attributes:
        found: what was found, for people.
        data: keys of the section `data`.
        net: keys of `model.net`.
        model: further keys of the section `model`.
        batch_size: examples of a step.
    """

    found: str
    data: dict[str, Any]
    net: dict[str, Any]
    model: dict[str, Any]
    batch_size: int = 32


def propose(path: str) -> Proposal:
    """Look at a folder, or at one text, and propose a model that fits.

    Args:
        path: a local path or an fsspec URL.

    Raises:
        InputError: there is nothing that could be trained on.
    """
    folder, listing = locate(path)
    images = len(image_folder.images_among(listing))
    sounds = [name for name in listing.files if name.lower().endswith(recordings.ENDING)]
    if images > len(sounds):
        return _of_images(path, images)
    if sounds:
        return _of_recordings(path, folder, sounds)
    return _of_texts(path, folder, listing)


def absolute(data: str) -> str:
    """A path that means the same from every directory; a URL stays as it is."""
    return data if "://" in data else str(Path(data).expanduser().resolve())


def _of_images(path: str, count: int) -> Proposal:
    shape = image_folder.measure(path)
    height, width, channels = shape
    common = gcd(height, width)
    patches = [n for n in (1, 2, 4, 8, 16, 32) if common % n == 0]
    small = [n for n in patches if max(height, width) // n <= MOST_POSITIONS]
    patch = min(small, default=max(patches))
    two_levels = common % (2 * patch) == 0 and min(height, width) // patch >= 8
    net = {"kind": "unet", "patch": patch, "channels": 64, "multipliers": [1] * (1 + two_levels)}
    return Proposal(
        f"{count} images; most have {height}x{width} pixels and "
        f"{'colors' if channels == 3 else 'gray values'}",
        {"dataset": "images", "source": "files", "path": path, "shape": list(shape)},
        net | {"blocks": 2, "attention": [], "groups": 8},
        {"output": "rgb_mixture"} if channels == 3 else {},
        batch_size=32 if height * width <= 4096 else 16,
    )


def _of_recordings(path: str, folder: Folder, names: Sequence[str]) -> Proposal:
    chosen = [names[index] for index in spread_indices(len(names), LOOKED_AT)]
    read, refused = [], []
    for name, content in folder.read_all(chosen):
        try:
            samples, rate, _ = waves.read(content)
            read.append((len(samples), rate))
        except Refused as error:
            refused.append(f"{name}: {error}")
    if not read:
        raise InputError(f"{path}: none of the WAV files can be used; the first one, {refused[0]}")
    own = Counter(rate for _, rate in read).most_common(1)[0][0]
    rate = min(own, FASTEST)
    usual = median(samples * rate / of for samples, of in read)
    length = _power_of_two(min(SOUND_LENGTH, usual))
    return Proposal(
        f"{len(names)} recordings; most have {own} samples per second, and half of them last "
        f"{usual / rate:.1f} s or longer",
        {"dataset": "audio", "source": "files", "path": path, "rate": rate, "length": length},
        {"kind": "dilated", "channels": 48, "blocks": 20, "cycle": 10},
        {},
        batch_size=16,
    )


def _of_texts(path: str, folder: Folder, listing: Listing) -> Proposal:
    names = list(listing.files)
    if not names:
        raise InputError(f"{path}: expected images, texts or WAV files, found no file")
    size, is_text8 = 0, True
    for _, content in folder.read_all(names):
        size += len(content)
        is_text8 = is_text8 and _fits(Alphabet("text8"), content.rstrip(b"\r\n"))
    length = _power_of_two(min(LENGTH, size / 60))
    if length < SHORTEST:
        raise InputError(
            f"{path}: expected images, WAV files, or texts of at least {60 * SHORTEST} bytes, "
            f"found {size} bytes"
        )
    data = {"dataset": "text", "source": "files", "path": path, "length": length}
    found = f"{len(names)} texts" if len(names) > 1 else "a text"
    return Proposal(
        f"{found} of {size:,} bytes in all",
        data | ({"alphabet": "text8"} if is_text8 else {}),
        {"kind": "transformer", "width": 192, "blocks": 6, "heads": 6, "dropout": 0.1},
        {},
    )


def _fits(letters: Alphabet, text: bytes) -> bool:
    try:
        letters.encode(text, "")
    except InputError:
        return False
    return True


def _power_of_two(most: float) -> int:
    """The largest power of two that does not exceed `most`; 1 if there is none."""
    return 1 << max(int(most).bit_length() - 1, 0)

"""Proposes a model for the user's own images, texts or recordings."""

import json
from collections import Counter
from collections.abc import Sequence
from math import gcd
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ardm.data import dataset, image_folder, recordings, waves
from ardm.data.alphabet import Alphabet, not_utf8
from ardm.data.config import DataConfig
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


OF_A_KIND, FEWEST = 3, 3
"""An image or a recording counts as much as so many texts, which may be its caption or a readme,
once there are so many images or recordings: one for each split."""


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

    The data are read as a training reads them, so that nothing is proposed which it would refuse.

    Args:
        path: a local path or an fsspec URL.

    Raises:
        InputError: there is nothing that could be trained on.
    """
    folder, listing = locate(path)
    images = list(image_folder.images_among(listing))
    sounds = [name for name in listing.files if name.lower().endswith(recordings.ENDING)]
    others = sorted(listing.files.keys() - {*images, *sounds})
    texts = round(len(others) * _share_of_texts(folder, others))
    if not (images or sounds or texts > len(others) - texts):
        raise InputError(
            f"{path}: expected images, texts in UTF-8 or WAV files, found {_by_ending(others)}; "
            "convert them (recordings: sox IN -b 16 -c 1 OUT.wav), or name another folder"
        )
    candidates = [
        (len(images), OF_A_KIND, lambda: _of_images(path, len(images))),
        (len(sounds), OF_A_KIND, lambda: _of_recordings(path, folder, sounds)),
        (texts, 1, lambda: _of_texts(path, folder, listing)),
    ]
    found = [candidate for candidate in candidates if candidate[0]]
    found.sort(key=lambda one: one[0] * (one[1] if one[0] >= FEWEST else 1), reverse=True)
    refusal: InputError | None = None
    for count, _, make in found:
        try:
            return _checked(make())
        except InputError as error:
            refusal = refusal or error
            if count >= FEWEST:
                break
    assert refusal
    raise refusal


def absolute(data: str) -> str:
    """A path that means the same from every directory; a URL stays as it is."""
    return data if "://" in data else str(Path(data).expanduser().resolve())


def _share_of_texts(folder: Folder, names: Sequence[str]) -> float:
    """The share of files that are texts in UTF-8, estimated from some of them."""
    chosen = [names[index] for index in spread_indices(len(names), LOOKED_AT)]
    alone = len(names) == 1
    are_texts = [_is_text(content, alone=alone) for _, content in folder.read_all(chosen)]
    return sum(are_texts) / len(are_texts) if are_texts else 0.0


def _is_text(content: bytes, *, alone: bool) -> bool:
    """Whether a file is a text in UTF-8.

    One that is given alone may have another encoding: where it is read, the fault is named.
    """
    return bool(content) and (not not_utf8(content) or (alone and b"\0" not in content))


def _by_ending(names: Sequence[str]) -> str:
    """The number of files of each ending, the most frequent first."""
    if not names:
        return "no file"
    endings = Counter(Path(name).suffix.lower() or "without an ending" for name in names)
    return ", ".join(f"{count} {ending}" for ending, count in endings.most_common(5))


def _checked(proposal: Proposal) -> Proposal:
    """A proposal whose data could be read; it names the number of files that are left out.

    Raises:
        InputError: they cannot be read.
    """
    data = dataset.load(DataConfig.model_validate_json(json.dumps(proposal.data)))
    unused = len(data.report.left_out)
    left = f"; {unused} other file{'s' * (unused > 1)} will be left out" if unused else ""
    return proposal._replace(found=proposal.found + left)


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
    size, count, is_text8 = 0, 0, True
    for _, content in folder.read_all(names):
        if not _is_text(content, alone=len(names) == 1):
            continue
        size, count = size + len(content), count + 1
        is_text8 = is_text8 and _fits(Alphabet("text8"), content.rstrip(b"\r\n"))
    length = _power_of_two(min(LENGTH, size / 60))
    if length < SHORTEST:
        raise InputError(
            f"{path}: expected images, WAV files, or texts of at least {60 * SHORTEST} bytes, "
            f"found {size} bytes"
        )
    data = {"dataset": "text", "source": "files", "path": path, "length": length}
    found = f"{count} texts" if count > 1 else "a text"
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

"""Folders of recordings, and the tar file of SC09."""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt

from ardm.data import splits, waves
from ardm.data.config import DataConfig, describe, encoding, rate
from ardm.data.crops import Crops, chunks
from ardm.data.dataset import SPLITS, Dataset
from ardm.data.folder import Folder, locate
from ardm.data.media import AUDIO
from ardm.data.provenance import Refused, Report, Unused, by_reason
from ardm.data.walk import Listing
from ardm.errors import InputError

NO_WAV = "no WAV file, by its ending"
ENDING = ".wav"

LISTS = {"valid": "validation_list.txt", "test": "testing_list.txt"}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Recordings = list[UInt[np.ndarray, " _n"]]


def read(config: DataConfig) -> Dataset:
    """Read a data set of recordings.

    Those of `valid` and `test` are cut into sequences of `length`, the last of each filled up with
    silence. Training draws its sequences from anywhere in the others.

    Args:
        config: the `data` section.

    Returns:
        The data set.

    Raises:
        InputError: files are missing, or a recording cannot be used.
    """
    (length, _, _), classes = describe(config)
    folder, listing = locate(str(config.path))
    found = _waves_among(listing)
    unused = [*listing.unused, *(Unused(n, NO_WAV) for n in listing.files if n not in found)]
    if not found:
        received = f", received {'; '.join(by_reason(unused))}" if unused else ", found no file"
        raise InputError(f"{config.path}: expected a folder of WAV files{received}")
    if config.dataset == "sc09":
        deal = _sc09(folder, listing, found)
    else:
        deal = splits.by_name(found, folder.url, [file.name for file in unused])
    chosen = [name for split in SPLITS for name in deal.names[split]]
    samples, changes = _decoded(folder, chosen, rate(config), config)
    silence = classes // 2
    parts = {split: [samples[name] for name in deal.names[split]] for split in SPLITS}
    report = Report(deal.origins, [*unused, *deal.left_out], changes)
    return _dataset(config.dataset, classes, parts, length, silence, report)


def _sc09(folder: Folder, listing: Listing, found: dict[str, str]) -> splits.Deal:
    """The published splits of the spoken digits among the Speech Commands (arXiv 1804.03209)."""
    top = {name.rsplit("/", 1)[-1]: name for name in listing.files}
    missing = [name for name in LISTS.values() if name not in top]
    if missing:
        raise InputError(
            f"{folder.url}: expected the unpacked files of Speech Commands, with "
            f"{' and '.join(LISTS.values())}, found no {' and no '.join(missing)}; download "
            "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
        )
    root = top[LISTS["valid"]].removesuffix(LISTS["valid"])
    of_split = {
        split: {root + line for line in folder.read(top[name]).decode().split()}
        for split, name in LISTS.items()
    }
    names: dict[str, list[str]] = {split: [] for split in SPLITS}
    left_out = []
    for name in found:
        if name.removeprefix(root).split("/")[0] not in DIGITS:
            left_out.append(Unused(name, "no digit"))
            continue
        split = next((s for s, listed in of_split.items() if name in listed), "train")
        names[split].append(name)
    if empty := [split for split in SPLITS if not names[split]]:
        raise InputError(f"{folder.url}: found no digits for {' and '.join(empty)}; copy it anew")
    return splits.Deal(names, {}, left_out)


def _dataset(
    name: str,
    classes: int,
    parts: dict[str, Recordings],
    length: int,
    silence: int,
    report: Report,
) -> Dataset:
    train = Crops(parts["train"], length, silence)
    held_out = {
        split: np.concatenate([chunks(whole, length, silence) for whole in parts[split]])
        for split in ("valid", "test")
    }
    digest = hashlib.sha256(f"length {length}\n".encode() + train.content())
    for split, array in held_out.items():
        digest.update(f"{split} {array.shape}\n".encode() + array.tobytes())
    return Dataset(
        name=name,
        shape=(length, 1, 1),
        classes=classes,
        train=train,
        valid=held_out["valid"],
        test=held_out["test"],
        sha256=digest.hexdigest(),
        report=report,
        places=AUDIO.places,
    )


def _waves_among(listing: Listing) -> dict[str, str]:
    return {
        name: identity for name, identity in listing.files.items() if name.lower().endswith(ENDING)
    }


def _decoded(
    folder: Folder, names: Sequence[str], wanted: int, config: DataConfig
) -> tuple[dict[str, UInt[np.ndarray, " _n"]], dict[str, int]]:
    """Recordings as classes, and for each rate that was changed the number of them."""
    decoded, refused, changes = {}, [], dict[str, int]()
    for name, content in folder.read_all(names):
        try:
            samples, own, _ = waves.read(content)
        except Refused as error:
            refused.append(Unused(name, error.reason, error.detail))
            continue
        if own != wanted:
            change = f"from {own} to {wanted} samples per second"
            changes[change] = changes.get(change, 0) + 1
        decoded[name] = waves.encode(waves.resample(samples, own, wanted), encoding(config))
    if refused:
        raise InputError(
            f"{folder.url}: expected WAV files of one channel with 8 or 16 bit PCM, received "
            f"{'; '.join(by_reason(refused))}; convert them (sox IN -b 16 -c 1 OUT), or remove them"
        )
    return decoded, changes

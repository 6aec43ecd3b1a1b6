"""Folders of images in any format that Pillow reads."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ardm.data import splits
from ardm.data.dataset import SPLITS, Images, spread_indices
from ardm.data.folder import Folder
from ardm.data.pixels import decode, endings, with_channels
from ardm.data.provenance import Refused, Report, Unused, by_reason, count_changes
from ardm.data.walk import Listing
from ardm.errors import InputError

Shape = tuple[int, int, int]

NO_IMAGE = "no image that Pillow reads, by its ending"

MEASURED = 64
"""Number of images from which the shape of a folder's images is determined."""


def measure(url: str) -> Shape:
    """Find the most common shape of `MEASURED` images that are evenly spread over a folder.

    Args:
        url: the folder, an fsspec URL or a local path.

    Returns:
        Height, width and channels: 3 if any image of this size has colors, otherwise 1.

    Raises:
        InputError: none of these images can be used.
    """
    folder = Folder(url)
    listing = folder.listing()
    names = list(images_among(listing))
    sample = [names[index] for index in spread_indices(len(names), MEASURED)]
    shapes, refused = [], []
    for name, data in folder.read_all(sample):
        try:
            shapes.append(decode(data).pixels.shape)
        except Refused as error:
            refused.append(Unused(name, error.reason, error.detail))
    if not shapes:
        unused = [*listing.unused, *_no_images(listing), *refused]
        received = f", received {'; '.join(by_reason(unused))}" if unused else ", found no file"
        raise InputError(
            f"{folder.url}: expected a folder of images in formats that Pillow reads (.png, .jpg, "
            f".tif, .webp, .bmp, .gif, ...){received}"
        )
    (height, width), _ = Counter(shape[:2] for shape in shapes).most_common(1)[0]
    return height, width, max(shape[2] for shape in shapes if shape[:2] == (height, width))


def read(folder: Folder, listing: Listing, shape: Shape) -> tuple[dict[str, Images], Report]:
    """Read all images of a folder into splits.

    Files that are not images of the given size are left out. Gray images are converted to RGB or
    the reverse, if necessary.

    Args:
        folder: the folder.
        listing: the listing of the folder.
        shape: height, width and channels of the data set.

    Returns:
        uint8 `[N, H, W, C]` under each of `train`, `valid`, `test`, in the order of the file names;
        and a report of the files that were left out or converted.

    Raises:
        InputError: a split would be empty, or most of the images cannot be used.
    """
    unused = [*listing.unused, *_no_images(listing)]
    images = images_among(listing)
    deal = splits.by_name(images, folder.url, [file.name for file in unused])
    refused: list[Unused] = []
    changes: list[Sequence[str]] = []
    chosen = [name for split in deal.names.values() for name in split]
    decoded = _read(folder, chosen, shape, refused, changes)
    if len(refused) > len(decoded):
        raise InputError(
            f"{folder.url}: expected most of {len(chosen)} images to be {_words(shape)}, "
            f"received {len(refused)} that cannot be used: {'; '.join(by_reason(refused))}; "
            "convert or remove them, or check data.shape"
        )
    if refused:  # split again without them, so that the held-out tenth consists of usable images
        unused += refused
        refused_names = {file.name for file in refused}
        usable = {name: identity for name, identity in images.items() if name not in refused_names}
        deal = splits.by_name(usable, folder.url, [file.name for file in unused])
    arrays = {split: _moved(decoded, names, shape) for split, names in deal.names.items()}
    report = Report(
        deal.origins, [*unused, *deal.left_out], count_changes(changes), _in_two(arrays)
    )
    return arrays, report


def images_among(listing: Listing) -> dict[str, str]:
    """The files whose endings are those of images, with their identities (see `Listing`)."""
    known = endings()
    return {
        name: identity for name, identity in listing.files.items() if name.lower().endswith(known)
    }


def _no_images(listing: Listing) -> list[Unused]:
    images = images_among(listing)
    return [Unused(name, NO_IMAGE) for name in listing.files if name not in images]


def _read(
    folder: Folder,
    names: Sequence[str],
    shape: Shape,
    refused: list[Unused],
    changes: list[Sequence[str]],
) -> dict[str, np.ndarray]:
    decoded = {}
    for name, data in folder.read_all(names):
        try:
            picture = with_channels(decode(data, shape[:2]), shape[2])
        except Refused as error:
            refused.append(Unused(name, error.reason, error.detail))
        else:
            decoded[name] = picture.pixels
            changes.append(picture.changes)
    return decoded


def _moved(decoded: dict[str, np.ndarray], names: Sequence[str], shape: Shape) -> Images:
    """Move images from `decoded` into one array. Each is removed at once, to save memory."""
    array = np.empty((len(names), *shape), np.uint8)
    for index, name in enumerate(names):
        array[index] = decoded.pop(name)
    return array


def _in_two(arrays: Mapping[str, Images]) -> dict[str, int]:
    """Count the images of a split that have equal pixels in another split, by pair of splits."""
    seen = {
        split: {hashlib.sha256(image.data).digest() for image in arrays[split]} for split in SPLITS
    }
    pairs = (("valid", "train"), ("test", "train"), ("test", "valid"))
    counts = {f"a copy of an image of {a} in {b}": len(seen[a] & seen[b]) for a, b in pairs}
    return {pair: count for pair, count in counts.items() if count}


def _words(shape: Shape) -> str:
    height, width, channels = shape
    return f"{width} wide and {height} high with {channels} channel{'s' if channels > 1 else ''}"

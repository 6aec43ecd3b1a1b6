"""Folders of images in any format that Pillow reads."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ardm.data import splits
from ardm.data.dataset import SPLITS, Images, spread_indices
from ardm.data.folder import Folder
from ardm.data.pixels import Refused, decode, endings, with_channels
from ardm.data.provenance import Report, Unused, by_reason, count_changes
from ardm.data.walk import Listing
from ardm.errors import InputError

Shape = tuple[int, int, int]

NO_IMAGE = "no image that Pillow reads, by its ending"

MEASURED = 64
"""Images that a folder's shape is taken from."""


def measure(url: str) -> Shape:
    """Find the shape that most images of a folder have, from `MEASURED` images all over it.

    Args:
        url: of the folder, an fsspec URL or a local path.

    Returns:
        Height, width, and 3 channels if any of these images has colors, else 1.

    Raises:
        InputError: the folder has no image that can be used.
    """
    folder = Folder(url)
    listing = folder.listing()
    names = list(images_among(listing))
    some = [names[index] for index in spread_indices(len(names), MEASURED)]
    shapes, refused = [], []
    for name, data in folder.read_all(some):
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

    A file that is no image of that size is left out. Gray and colors are converted into each other.

    Args:
        folder: where they lie.
        listing: of the folder.
        shape: height, width and channels of the data set.

    Returns:
        uint8 `[N, H, W, C]` under each of `train`, `valid`, `test`, in the order of the names; and
        what was left out or converted.

    Raises:
        InputError: a split would be empty, or most of the images cannot be used.
    """
    unused = [*listing.unused, *_no_images(listing)]
    images = images_among(listing)
    deal = splits.by_name(images, folder.url, [one.name for one in unused])
    refused: list[Unused] = []
    changes: list[Sequence[str]] = []
    held = [name for split in deal.names.values() for name in split]
    decoded = _read(folder, held, shape, refused, changes)
    if len(refused) > len(decoded):
        raise InputError(
            f"{folder.url}: expected most of {len(held)} images to be {_words(shape)}, "
            f"received {len(refused)} that cannot be used: {'; '.join(by_reason(refused))}; "
            "convert or remove them, or check data.shape"
        )
    if refused:  # they count for nothing, least of all as the tenth that is held out
        unused += refused
        gone = {one.name for one in refused}
        usable = {name: same for name, same in images.items() if name not in gone}
        deal = splits.by_name(usable, folder.url, [one.name for one in unused])
    arrays = {split: _moved(decoded, names, shape) for split, names in deal.names.items()}
    report = Report(
        deal.origins, [*unused, *deal.left_out], count_changes(changes), _in_two(arrays)
    )
    return arrays, report


def images_among(listing: Listing) -> dict[str, str]:
    """The files that are images by their endings, with their identities."""
    known = endings()
    return {name: same for name, same in listing.files.items() if name.lower().endswith(known)}


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
    found = {}
    for name, data in folder.read_all(names):
        try:
            picture = with_channels(decode(data, shape[:2]), shape[2])
        except Refused as error:
            refused.append(Unused(name, error.reason, error.detail))
        else:
            found[name] = picture.pixels
            changes.append(picture.changes)
    return found


def _moved(decoded: dict[str, np.ndarray], names: Sequence[str], shape: Shape) -> Images:
    """Take these images out of `decoded`, so that none is in memory twice."""
    array = np.empty((len(names), *shape), np.uint8)
    for index, name in enumerate(names):
        array[index] = decoded.pop(name)
    return array


def _in_two(arrays: Mapping[str, Images]) -> dict[str, int]:
    """How many images of one split equal one of another: copies that no name shows."""
    seen = {
        split: {hashlib.sha256(image.data).digest() for image in arrays[split]} for split in SPLITS
    }
    pairs = (("valid", "train"), ("test", "train"), ("test", "valid"))
    counts = {f"a copy of an image of {a} in {b}": len(seen[a] & seen[b]) for a, b in pairs}
    return {pair: count for pair, count in counts.items() if count}


def _words(shape: Shape) -> str:
    height, width, channels = shape
    return f"{width} wide and {height} high with {channels} channel{'s' if channels > 1 else ''}"

"""A data set in memory, and `load`, which reads one from its source."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import UInt

from ardm.data.config import DataConfig, medium
from ardm.data.crops import Crops
from ardm.data.media import AUDIO, IMAGE, TEXT
from ardm.data.provenance import Report
from ardm.errors import InputError

SPLITS = ("train", "valid", "test")

# The underscore in `_N` tells jaxtyping that the sizes of the splits may differ.
Images = UInt[np.ndarray, "_N H W C"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with discrete values, in three splits.

    Attributes:
        name: name of the data set, as in the job file.
        shape: shape `(H, W, C)` of one image.
        classes: K, the number of classes; values are `0 .. K-1`.
        train: training images, uint8 or uint16 `[N, H, W, C]`; of texts and recordings all
            sequences within them, which overlap.
        valid: validation images, likewise.
        test: test images, likewise.
        sha256: hex digest of the three arrays (shapes and bytes). Equal digests mean equal data,
            whatever their source.
        report: where the images were read from, and which files were left out.
        dynamic: whether `train` holds gray values 0 .. 255 that are binarized at random each time
            they are used.
        places: the word for the values of an example.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    train: Images | Crops = field(repr=False)
    valid: Images = field(repr=False)
    test: Images = field(repr=False)
    sha256: str
    report: Report = field(default_factory=Report, repr=False)
    dynamic: bool = False
    places: str = IMAGE.places

    @classmethod
    def of(
        cls,
        name: str,
        classes: int,
        splits: Mapping[str, np.ndarray],
        report: Report | None = None,
        *,
        dynamic: bool = False,
    ) -> "Dataset":
        """Check the arrays of the three splits and compute their digest.

        Args:
            name: name of the data set.
            classes: K, the number of classes.
            splits: uint8 `[N, H, W, C]` under each of `train`, `valid`, `test`.
            report: where the images were read from, and which files were left out.
            dynamic: whether `train` holds gray values that are binarized each time they are used.

        Returns:
            The data set.

        Raises:
            InputError: an array has the wrong shape or type, or a value of K or more.
        """
        image = splits["train"].shape[1:]
        digest = hashlib.sha256()
        for split in SPLITS:
            array = splits[split]
            if array.dtype != np.uint8 or array.ndim != 4 or array.shape[1:] != image:
                raise InputError(
                    f"data set {name}, split {split}: expected uint8 images [N, H, W, C] of the "
                    f"same size in every split, received {array.dtype} {array.shape}"
                )
            most = 255 if dynamic and split == "train" else classes - 1
            if array.size and (largest := int(array.max())) > most:
                raise InputError(
                    f"data set {name}, split {split}: expected values from 0 to {most}, "
                    f"received {largest}"
                )
            digest.update(f"{split} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        height, width, channels = image
        return cls(
            name=name,
            shape=(height, width, channels),
            classes=classes,
            train=splits["train"],
            valid=splits["valid"],
            test=splits["test"],
            sha256=digest.hexdigest(),
            report=report or Report(),
            dynamic=dynamic,
        )

    @property
    def title(self) -> str:
        """The name, with a note if the training images are binarized dynamically."""
        return f"{self.name} (dynamic)" if self.dynamic else self.name

    def images(self, split: str) -> Images:
        """The images of a split as they are evaluated: values 0 .. K-1, the same each time."""
        images: Images | Crops = getattr(self, split)
        if isinstance(images, Crops):
            return images.in_turn()
        if self.dynamic and split == "train":
            from ardm.data.binarize import SEED, binarize

            return binarize(images, np.random.PCG64(SEED))
        return images

    def describe(self) -> str:
        """A line that names the size and the origin of each split."""
        parts = []
        unit = f" {self.places}" if isinstance(self.train, Crops) else ""
        for split in SPLITS:
            origin = self.report.origins.get(split, "published")
            parts.append(f"{split} {self._size(split):,}{unit} ({origin})")
        return f"data set {self.title}: {'; '.join(parts)}"

    def as_json(self) -> dict[str, Any]:
        """Sizes and origins of the splits, and files left out or converted, as a JSON value.

        The sizes are numbers of images, characters or samples.
        """
        sizes = {split: self._size(split) for split in SPLITS}
        return {"dataset": self.title, "sizes": sizes, **self.report.as_json()}

    def _size(self, split: str) -> int:
        """The number of images, or of the values of texts and recordings."""
        images: Images | Crops = getattr(self, split)
        return images.size if isinstance(self.train, Crops) else len(images)


def spread(images: Images, count: int | None) -> Images:
    """A subset of images, evenly spread over all of them.

    The first images would be a biased subset: those of MNIST's test set are easier than the rest.

    Args:
        images: the images.
        count: number of images in the subset; None, or more than there are, selects all.
    """
    if count is None or count >= len(images):
        return images
    return images[spread_indices(len(images), count)]


def spread_indices(size: int, count: int | None) -> np.ndarray:
    """Indices of `count` items that are evenly spread over `size` items.

    Args:
        size: number of items.
        count: number of indices; None, or more than `size`, selects all.
    """
    count = size if count is None else min(count, size)
    return np.arange(count) * size // max(count, 1)


def load(config: DataConfig, cache: str | None = None) -> Dataset:
    """Read the data set that a job file names.

    Args:
        config: the `data` section.
        cache: a directory, as an fsspec URL or a local path, in which processes share prepared
            downloads. Without it every call downloads and prepares the data anew.

    Returns:
        The data set, completely in memory.

    Raises:
        InputError: the data are missing or damaged.
        DataUnreachable: their source does not answer at the moment.
        StoreUnusable: `cache` cannot be read or written.
    """
    # Imported on use: importing TFDS takes a second, and most jobs do not need it.
    if medium(config) == TEXT:
        from ardm.data import texts

        return texts.read(config)
    if medium(config) == AUDIO:
        from ardm.data import recordings

        return recordings.read(config)
    if config.source == "bundled":
        from ardm.data import bundled

        return bundled.read()
    if config.source == "files":
        from ardm.data import files

        return files.read(config)
    from ardm.data import tfds

    if config.binarize == "dynamic":
        from ardm.data.binarize import dynamic_splits

        gray = tfds.read("mnist", cache)
        splits = dynamic_splits({split: getattr(gray, split) for split in SPLITS})
        return Dataset.of(config.dataset, 2, splits, gray.report, dynamic=True)
    return tfds.read(config.dataset, cache)

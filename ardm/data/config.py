"""The `data` section of a job file. It is checked without reading any file."""

from math import prod
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator
from pydantic import model_validator as check
from pydantic_core import PydanticCustomError

from ardm.config import MOST, Section
from ardm.data.media import IMAGE, TEXT, Medium
from ardm.errors import InputError

Side = Annotated[int, Field(gt=0, le=65_536)]
Channels = Annotated[int, Field(gt=0, le=3)]
Shape = tuple[Side, Side, Channels]

# Height, width and channels of one image, and the number of classes.
KNOWN: dict[str, tuple[tuple[int, int, int], int]] = {
    "binarized_mnist": ((28, 28, 1), 2),
    "mnist": ((28, 28, 1), 256),
    "fashion_mnist": ((28, 28, 1), 256),
    "cifar10": ((32, 32, 3), 256),
}
FREE_CLASSES = 256
"""Classes of a free folder of images: eight bits a channel."""

AlphabetName = Literal["bytes", "text8"]

ALPHABETS: dict[AlphabetName, int] = {"bytes": 256, "text8": 27}
"""The number of classes of each alphabet (see `ardm.data.alphabet`)."""

TEXTS: dict[str, tuple[AlphabetName, ...]] = {
    "text": ("bytes", "text8"),
    "text8": ("text8",),
    "enwik8": ("bytes",),
}
"""The data sets of texts, and the alphabets that each may have; the first is the default."""

USUAL_LENGTH = 256
"""Default length of a sequence of text."""


class AugmentConfig(Section):
    """Random changes of training images, drawn anew each time; none of those that are evaluated."""

    flip: bool = False
    """Mirror left and right, half of the time."""
    quarter_turns: bool = False
    """Turn by 0, 90, 180 or 270 degrees, equally often."""


class DataConfig(Section):
    """Which images or texts to train on, and where they come from.

    `bundled` is inside the package and needs no network; `tfds` downloads the published files once;
    `files` reads a folder (`ardm.data.files` and `ardm.data.texts` say what it may hold).
    """

    dataset: Literal[
        "binarized_mnist",
        "mnist",
        "fashion_mnist",
        "cifar10",
        "images",
        "text",
        "text8",
        "enwik8",
    ] = "binarized_mnist"
    """A published data set, or the user's own, read with `source: files`: `images`, any folder of
    images; `text`, any text or folder of texts. `text` with `source: bundled` is a novel."""
    source: Literal["bundled", "tfds", "files"] = "bundled"
    path: Annotated[str, Field(min_length=1)] | None = None
    """The folder that `files` reads, or the file of a text: a local path, or an fsspec URL such as
    `gs://bucket/folder`."""
    shape: Shape | None = None
    """Height, width and channels of `images`; null: as the first image when the job is read."""
    binarize: Literal["static", "dynamic"] = "static"
    """How gray values become `binarized_mnist`: each pixel is drawn once for all, or, in training,
    anew each time that an image is dealt. Bounds of the two cannot be compared."""
    augment: AugmentConfig = AugmentConfig()
    length: Side | None = None
    """Characters of one sequence of text; null: 256."""
    alphabet: AlphabetName | None = None
    """The classes of `text`: `bytes`, or `text8`, the space and the letters a to z; null: bytes."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        # The process that reads the files may have another working directory.
        if path is None or "://" in path:
            return path
        try:
            whole = str(Path(path).expanduser().resolve())
            whole.encode()
        except (OSError, RuntimeError, ValueError) as error:  # no such user; links in a circle
            raise PydanticCustomError(
                "path", "{what}", {"what": f"Cannot be used: {error}"}
            ) from error
        return whole

    @check(mode="after")
    def _fits(self) -> Self:
        faults = _source_faults(self) + _text_faults(self)
        if not faults and self.augment.quarter_turns and not self.needs_shape:
            height, width, _ = describe(self)[0]
            if height != width:
                faults.append(
                    f"augment.quarter_turns: the images are {height}x{width}, and only square "
                    "ones keep their shape when turned; leave it out"
                )
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def needs_shape(self) -> bool:
        """Whether the images tell their shape, and nobody has measured them yet."""
        return self.dataset == "images" and self.shape is None


def describe(config: DataConfig) -> tuple[tuple[int, int, int], int]:
    """Shape (H, W, C) of one example and K, its number of classes; no file is read.

    A sequence of L characters has the shape (L, 1, 1).

    Raises:
        InputError: the images were not measured (`ardm.job.spec.load` does it).
    """
    if config.dataset == "images":
        if config.shape is None:
            raise InputError(
                f"{config.path}: expected data.shape, the height, width and channels of the "
                "images, received none; give it, or read the job file with ardm.load_job, which "
                "measures the images"
            )
        return config.shape, FREE_CLASSES
    if config.dataset in TEXTS:
        return (config.length or USUAL_LENGTH, 1, 1), ALPHABETS[alphabet(config)]
    return KNOWN[config.dataset]


def medium(config: DataConfig) -> Medium:
    """What the examples of a data set are."""
    return TEXT if config.dataset in TEXTS else IMAGE


def alphabet(config: DataConfig) -> AlphabetName:
    """Name of the alphabet of a data set of texts."""
    return config.alphabet or TEXTS[config.dataset][0]


def _text_faults(config: DataConfig) -> list[str]:
    """Say which keys of texts do not fit the data set, and which of images do not fit a text."""
    dataset = config.dataset
    if dataset not in TEXTS:
        given = {"length": config.length, "alphabet": config.alphabet}
        return [
            f"{key}: {dataset} holds images, no texts; leave it out"
            for key, value in given.items()
            if value is not None
        ]
    faults = []
    if config.alphabet and config.alphabet not in TEXTS[dataset]:
        faults.append(f"alphabet: {dataset} has the alphabet {TEXTS[dataset][0]}; leave it out")
    if config.augment != AugmentConfig():
        faults.append(f"augment: {dataset} holds texts, no images; leave it out")
    return faults


def _source_faults(config: DataConfig) -> list[str]:
    """Say what does not go together, a sentence each with the key at fault."""
    dataset, source = config.dataset, config.source
    faults = []
    if dataset == "images" and source != "files":
        faults.append(f"source: {source} has no free images; give source: files and a path")
    elif dataset in TEXTS and source == "tfds":
        faults.append(f"source: tfds has no {dataset}; give source: files and a path")
    elif dataset not in ("binarized_mnist", "text") and source == "bundled":
        choice = "give source: files" if dataset in TEXTS else "choose from tfds, files"
        faults.append(f"source: {dataset} is not in the package; {choice}")
    elif source == "files" and config.path is None:
        faults.append("path: required with source: files; give the folder that holds the files")
    if config.binarize == "dynamic":
        if dataset != "binarized_mnist":
            faults.append(f"binarize: {dataset} is not binarized; leave it out")
        elif source == "bundled":
            faults.append(
                "binarize: the bundled images are binary already, and dynamic needs gray values; "
                "give source: tfds or files"
            )
    if source != "files" and config.path is not None:
        faults.append(f"path: source {source} reads no folder; give source: files, or no path")
    if config.shape is not None:
        channels = config.shape[2]
        if channels == 2:
            faults.append("shape: images have 1 channel (gray) or 3 (RGB), got 2")
        if prod(config.shape) > MOST:
            faults.append(f"shape: an image holds at most {MOST} numbers, got {prod(config.shape)}")
    if dataset in TEXTS and config.shape is not None:
        faults.append(f"shape: {dataset} holds texts; give their length, and leave the shape out")
    elif dataset != "images" and config.shape is not None:
        height, width, channels = KNOWN[dataset][0]
        faults.append(f"shape: {dataset} always has {height}x{width}x{channels}; leave it out")
    return faults

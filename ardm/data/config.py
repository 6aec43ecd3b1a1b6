"""The `data` section of a job file. It is checked without reading any file."""

from math import prod
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator
from pydantic import model_validator as check
from pydantic_core import PydanticCustomError

from ardm.config import FROZEN, MOST, Section
from ardm.data.media import AUDIO, IMAGE, TEXT, Medium
from ardm.errors import InputError
from ardm.secrecy import has_password

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
EncodingName = Literal["mu-law", "linear"]

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

AUDIO_SETS = ("audio", "sc09")
"""The data sets of recordings."""

USUAL_LENGTH = {TEXT: 256, AUDIO: 16_000}
"""Default length of a sequence."""

USUAL_RATE = 16_000
"""Default samples per second."""


class AugmentConfig(Section):
    """Random changes of training images, drawn anew each time; none of those that are evaluated."""

    flip: bool = False
    """Mirror left and right, half of the time."""
    quarter_turns: bool = False
    """Turn by 0, 90, 180 or 270 degrees, equally often."""


class DataConfig(Section):
    """Which images, texts or recordings to train on, and where they come from.

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
        "audio",
        "sc09",
    ] = "binarized_mnist"
    """A published data set, or the user's own, read with `source: files`: `images`, any folder of
    images; `text`, any text or folder of texts; `audio`, any folder of WAV files. `text` with
    `source: bundled` is a novel."""
    source: Literal["bundled", "tfds", "files"] = "bundled"
    """Where the data come from; see above."""
    path: Annotated[str, Field(min_length=1)] | None = None
    """The folder that `files` reads, or the file of a text: a local path, or an fsspec URL such as
    `gs://bucket/folder`."""
    shape: Shape | None = None
    """Height, width and channels of `images`; null: the most common ones in the folder when the job
    is read."""
    binarize: Literal["static", "dynamic"] = "static"
    """How gray values become `binarized_mnist`: each pixel is drawn once for all, or, in training,
    anew each time that an image is dealt. Bounds of the two cannot be compared."""
    augment: AugmentConfig = AugmentConfig()
    length: Side | None = None
    """Characters of one sequence of text, or samples of one of audio; null: 256, or 16,000."""
    alphabet: AlphabetName | None = None
    """The classes of `text`: `bytes`, or `text8`, the space and the letters a to z; null: bytes."""
    rate: Annotated[int, Field(ge=100, le=192_000)] | None = None
    """Samples per second of audio; recordings at other rates are resampled; null: 16,000."""
    encoding: EncodingName | None = None
    """The classes of audio: `mu-law`, 256 that follow the logarithm of the amplitude, or `linear`,
    all 65,536 values of 16-bit samples; null: mu-law."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str | None, info: ValidationInfo) -> str | None:
        # The process that reads the files may have another working directory.
        if path is not None and has_password(path) and info.context != FROZEN:
            raise PydanticCustomError(
                "path",
                "Expected an address without credentials, which would be kept in files and shown "
                "in reports; set them in the environment, such as AWS_SECRET_ACCESS_KEY",
            )
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
        faults = _source_faults(self) + _medium_faults(self)
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

    A sequence of L characters or samples has the shape (L, 1, 1).

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
        return (config.length or USUAL_LENGTH[TEXT], 1, 1), ALPHABETS[alphabet(config)]
    if config.dataset in AUDIO_SETS:
        classes = 65_536 if encoding(config) == "linear" else 256
        return (config.length or USUAL_LENGTH[AUDIO], 1, 1), classes
    return KNOWN[config.dataset]


def medium(config: DataConfig) -> Medium:
    """What the examples of a data set are."""
    if config.dataset in AUDIO_SETS:
        return AUDIO
    return TEXT if config.dataset in TEXTS else IMAGE


def rate(config: DataConfig) -> int:
    """Samples per second of a data set of recordings."""
    return config.rate or USUAL_RATE


def encoding(config: DataConfig) -> EncodingName:
    """How the samples of a data set of recordings become classes."""
    return config.encoding or "mu-law"


def alphabet(config: DataConfig) -> AlphabetName:
    """Name of the alphabet of a data set of texts."""
    return config.alphabet or TEXTS[config.dataset][0]


_MEDIA_OF_KEY = {
    "shape": (IMAGE,),
    "augment": (IMAGE,),
    "length": (TEXT, AUDIO),
    "alphabet": (TEXT,),
    "rate": (AUDIO,),
    "encoding": (AUDIO,),
}
"""The keys that only some media have."""


def _medium_faults(config: DataConfig) -> list[str]:
    """Say which keys do not fit the medium of the data set, or its alphabet or rate."""
    dataset, own = config.dataset, medium(config)
    faults = [
        f"{key}: {dataset} holds {own.examples}, which have none; leave it out"
        for key, media in _MEDIA_OF_KEY.items()
        if own not in media and getattr(config, key) not in (None, AugmentConfig())
    ]
    if dataset in TEXTS and config.alphabet not in (None, *TEXTS[dataset]):
        faults.append(f"alphabet: {dataset} has the alphabet {TEXTS[dataset][0]}; leave it out")
    return faults


def _source_faults(config: DataConfig) -> list[str]:
    """Say what does not go together, a sentence each with the key at fault."""
    dataset, source = config.dataset, config.source
    faults = []
    if dataset == "images" and source != "files":
        faults.append(f"source: {source} has no free images; give source: files and a path")
    elif dataset in (*TEXTS, *AUDIO_SETS) and source == "tfds":
        faults.append(f"source: tfds has no {dataset}; give source: files and a path")
    elif dataset not in ("binarized_mnist", "text") and source == "bundled":
        is_published = dataset in KNOWN
        choice = "choose from tfds, files" if is_published else "give source: files and a path"
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
    if dataset in KNOWN and config.shape is not None:
        height, width, channels = KNOWN[dataset][0]
        faults.append(f"shape: {dataset} always has {height}x{width}x{channels}; leave it out")
    return faults

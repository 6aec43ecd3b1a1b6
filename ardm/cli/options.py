"""What several commands share: options, the model that is used, and the files that are written."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ardm.cli.console import say
from ardm.config import LARGEST_SEED, MOST
from ardm.errors import InputError
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store

if TYPE_CHECKING:
    from ardm.pretrained import Pretrained


StoreUri = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="ARDM_STORE",
        help="Where runs live: a directory, or gs://bucket/x (s3://, az://).",
    ),
]
RunName = Annotated[str | None, typer.Argument(help="The run; default: the newest one.")]
Target = Annotated[
    str | None, typer.Argument(help="A run or a pulled directory; default: the newest run.")
]
JobName = Annotated[str | None, typer.Option("--job", help="Take the newest run of this job.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
JobFile = Annotated[Path, typer.Argument(help="The job file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")
]
NewRun = Annotated[str | None, typer.Option("--run", help="Name of the run; default: a new one.")]
Override = Annotated[
    bool, typer.Option("--override", help="Go on with another spec than the run's.")
]

DEFAULT_STORE = "./runs"


Steps = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST, help="Network calls per image, spread evenly; default: one per dimension."
    ),
]

Budget = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST, help="Network calls per image, where they help most (`ardm policy`)."
    ),
]

Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the orders and values drawn.")]

Temperature = Annotated[float, typer.Option(help="Below 1: likelier images.")]

SplitName = Literal["valid", "test", "train"]

Split = Annotated[
    SplitName,
    typer.Option(
        "--split",
        help="Whose images: valid to choose by, test to report, train to see what was learnt.",
    ),
]

DEFAULT_SPLIT: SplitName = "valid"

STILL = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}

MOVING = {".gif": "GIF"}

ARRAYS = {".npz": "NPZ"}

Picture = Annotated[
    Path | None,
    typer.Option("--out", help="The picture to write; its suffix names the format, such as .png."),
]


def find_run(store: str, name: str | None, job: str | None) -> Run:
    """The run that a command is about.

    Raises:
        NotFound: there is none; the message names those that exist.
    """
    place = Store(store)
    return Run(place, name) if name else registry.newest(place, job)


def opened(target: str | None, store: str, job: str | None) -> "Pretrained":
    """The newest verified checkpoint of a run or a pulled directory; default: the newest run.

    Raises:
        NotFound: there is none.
    """
    from ardm.loading import load

    return load(target or find_run(store, None, job).name, Store(store), say)


def about(pretrained: "Pretrained") -> dict[str, Any]:
    """What every result names: the run, the step and the digest that it came from, and the data."""
    about = {"run": pretrained.name, "step": pretrained.step, "digest": pretrained.digest}
    return about | {"data": pretrained.data_title}


def named(pretrained: "Pretrained") -> str:
    """Step and digest, for a message; and that the binarization is dynamic, if it is."""
    dynamic = ", dynamic binarization" if pretrained.spec.data.binarize == "dynamic" else ""
    return f"step {pretrained.step} (digest {pretrained.digest[:12]}{dynamic})"


def require_writable(option: str, path: Path | None, formats: Mapping[str, str] = STILL) -> None:
    """Refuse a path at which a picture cannot be written.

    Args:
        option: that names it, for the message.
        path: of the picture; nothing is asked of None.
        formats: by suffix.

    Raises:
        InputError: the suffix names none of the formats, or the file cannot be written.
    """
    if path is None:
        return
    if path.suffix.lower() not in formats:
        known, got = ", ".join(formats), path.suffix or "no suffix"
        raise InputError(f"{option} {path}: expected a file name that ends in {known}, got {got}")
    folder = path.parent
    if not folder.is_dir():
        raise InputError(
            f"{option} {path}: there is no directory {folder}; create it, or name another"
        )
    if path.exists() and not path.is_file():
        raise InputError(f"{option} {path}: expected the name of a file, got a directory or device")
    try:
        # What the access bits say is not all: the file system may be read-only.
        if path.exists():
            path.open("r+b").close()
        else:
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"{option} {path}: cannot be written ({error.strerror or error}); name another"
        ) from error


def write_still(path: Path, png: bytes) -> None:
    """Write a picture in the format that the suffix of its path names.

    Raises:
        InputError: it cannot be written.
    """
    from ardm.plots.pictures import recode

    kind = STILL[path.suffix.lower()]
    try:
        write(path, png if kind == "PNG" else recode(png, kind))
    except ValueError as error:  # Pillow: a side is longer than the format has room for
        raise InputError(f"{path} cannot be written as {kind} ({error}); use .png") from error


def write(path: Path, data: bytes) -> None:
    """Write the bytes of a file.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); name another with --out") from error

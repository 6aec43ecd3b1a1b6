"""Shared by several commands: options, loading a pretrained model, and writing files."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ardm.cli.console import say
from ardm.config import LARGEST_SEED, MOST
from ardm.data import media
from ardm.errors import InputError
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store

if TYPE_CHECKING:
    from ardm.data.media import Medium
    from ardm.pretrained import Pretrained


DEFAULT_STORE = "./runs"


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """The runs of the store, as named so far, whose names begin like this; for the shell."""
    store = ctx.params.get("store") or os.environ.get("ARDM_STORE") or DEFAULT_STORE
    try:
        names = Store(store).names()
    except Exception:  # a shell that completes a word shows no errors
        return []
    return [name for name in names if name.startswith(incomplete) and name[0] not in "._"]


StoreUri = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="ARDM_STORE",
        help="The store of the runs: a directory, gs://..., s3://... or az://...",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(envvar="RAY_ADDRESS", help="Address of a Ray job server, http://host:8265."),
]
RunName = Annotated[
    str | None,
    typer.Argument(help="Name of the run; default: the newest run.", autocompletion=complete_run),
]
Target = Annotated[
    str | None,
    typer.Argument(
        help="Name of a run, or a pulled directory; default: the newest run.",
        autocompletion=complete_run,
    ),
]
JobName = Annotated[str | None, typer.Option("--job", help="Use the newest run of this job.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON value on stdout.")
]
JobFile = Annotated[Path, typer.Argument(help="The job file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set a key of the job file, as section.key=value; repeatable."),
]
NewRun = Annotated[
    str | None,
    typer.Option(
        "--run",
        help="Name of the run; an existing run is continued; default: a new run.",
        autocompletion=complete_run,
    ),
]
Override = Annotated[
    bool,
    typer.Option("--override", help="Continue an existing run even if the job file has changed."),
]

Steps = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST, help="Network calls per image, evenly spaced; default: one per dimension."
    ),
]

Budget = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST, help="Network calls per image, optimally spaced (see `ardm policy`)."
    ),
]

Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the random orders and values.")
]

Temperature = Annotated[
    float, typer.Option(help="Sampling temperature; below 1, likely values are drawn more often.")
]

SplitName = Literal["valid", "test", "train"]

Split = Annotated[
    SplitName,
    typer.Option(
        "--split",
        help="Split of the data: valid to select models, test to report, train to see overfitting.",
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

TEXT = {".txt": "text"}

SOUND = {".wav": "WAV"}

FORMATS = {media.IMAGE: STILL, media.TEXT: TEXT, media.AUDIO: SOUND}
"""The formats in which what a model generates is written, by its medium."""

ARCHIVE = {".ardm": "ardm"}

ARRAYS = {".npz": "NPZ"}

HTML = {".html": "HTML", ".htm": "HTML"}

Picture = Annotated[
    Path | None,
    typer.Option("--out", help="The image file to write; its suffix selects the format."),
]


def find_run(store: str, name: str | None, job: str | None) -> Run:
    """The run that the options of a command select.

    Args:
        store: address of the store.
        name: name of the run; None selects the newest run.
        job: name of a job; if `name` is None, the newest run of this job is selected.

    Raises:
        NotFound: there is no such run; the message lists the existing runs.
    """
    runs = Store(store)
    return Run(runs, name) if name else registry.newest(runs, job)


def medium_of(target: str | None, store: str, job: str | None) -> "Medium":
    """What a model generates, without loading it; the arguments are those of `load_pretrained`.

    Raises:
        NotFound: there is no such run.
    """
    from ardm.checkpoint.pull import NOTE
    from ardm.data.config import medium
    from ardm.job.spec import load_frozen

    if target and (Path(target) / NOTE).is_file():
        return medium(load_frozen(Path(target) / "job.yaml").data)
    return medium(registry.read_spec(find_run(store, target, job)).data)


def load_pretrained(target: str | None, store: str, job: str | None) -> "Pretrained":
    """Load the newest verified checkpoint of a run or of a pulled directory.

    Args:
        target: name of a run, or a pulled directory; None selects the newest run.
        store: address of the store.
        job: name of a job; if `target` is None, the newest run of this job is selected.

    Raises:
        NotFound: there is no such run or checkpoint.
    """
    from ardm.loading import load

    return load(target or find_run(store, None, job).name, Store(store), say)


def provenance(pretrained: "Pretrained") -> dict[str, Any]:
    """The part of every JSON result that names its run, step, digest and data."""
    checkpoint = {"run": pretrained.name, "step": pretrained.step, "digest": pretrained.digest}
    return checkpoint | {"data": pretrained.data_title}


def describe(pretrained: "Pretrained") -> str:
    """The step and the digest, for a message; it mentions dynamic binarization."""
    dynamic = ", dynamic binarization" if pretrained.spec.data.binarize == "dynamic" else ""
    return f"step {pretrained.step} (digest {pretrained.digest[:12]}{dynamic})"


def require_writable(option: str, path: Path | None, formats: Mapping[str, str] = STILL) -> None:
    """Check that a file can be written.

    Args:
        option: the option that names the file, for the message.
        path: path of the file; None passes the check.
        formats: the permitted formats, by suffix.

    Raises:
        InputError: the suffix is none of the permitted ones, or the file cannot be written.
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
        # The permissions alone do not show that a file system is read-only.
        if path.exists():
            path.open("r+b").close()
        else:
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"{option} {path}: cannot be written ({error.strerror or error}); name another"
        ) from error


def write_still(path: Path, png: bytes) -> None:
    """Write an image in the format that the suffix of the path selects.

    Args:
        path: path of the file.
        png: the image as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    from ardm.plots.pictures import recode

    kind = STILL[path.suffix.lower()]
    try:
        write(path, png if kind == "PNG" else recode(png, kind))
    except ValueError as error:  # Pillow: the format does not permit sides of this length
        raise InputError(f"{path} cannot be written as {kind} ({error}); use .png") from error


def write(path: Path, data: bytes) -> None:
    """Write bytes to a file.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); name another with --out") from error

"""The commands `compress` and `decompress`: files without loss, by a trained model."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ardm.cli import options
from ardm.cli.console import err, errors_as_messages, say, show
from ardm.cli.options import (
    DEFAULT_STORE,
    AsJson,
    Budget,
    Seed,
    StoreUri,
    describe,
    load_pretrained,
    provenance,
)
from ardm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Model = Annotated[str, typer.Argument(help="Name of a run, or a pulled directory.")]


@errors_as_messages
def compress(
    target: Model,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="PNG or IDX files of the size of the model's images, or texts (any files, if the "
            "model's alphabet is bytes).",
        ),
    ],
    to: Annotated[Path, typer.Option("--out", help="The file to write; its name ends in .ardm.")],
    store: StoreUri = DEFAULT_STORE,
    budget: Budget = None,
    orders: Annotated[
        int,
        typer.Option(
            min=1, max=1024, help="Number of orders, of which each example uses the best."
        ),
    ] = 1,
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Compress files without loss: what `decompress` restores are their pixels or bytes."""
    options.require_writable("--out", to, options.ARCHIVE)
    pretrained = load_pretrained(target, store, None)
    with _rounds("compressing") as called:
        compressed = pretrained.compress(
            paths, budget=budget, orders=orders, seed=seed, called=called
        )
    _replace(to, compressed.data)
    figures = {
        "bytes_in": compressed.bytes_in,
        "bytes_out": len(compressed.data),
        "bits_per_dim": compressed.bits_per_dim,
    }
    say(
        f"{len(paths)} file{'s' if len(paths) > 1 else ''}, {compressed.bytes_in:,} bytes, by "
        f"{describe(pretrained)}: {len(compressed.data):,} bytes, {compressed.bits_per_dim:.4f} "
        f"{pretrained.medium.unit}, in {to}"
    )
    if json:
        show(provenance(pretrained) | figures | {"out": str(to), "model": compressed.header.model})


@errors_as_messages
def decompress(
    target: Model,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file that `compress` wrote.")],
    to: Annotated[Path, typer.Option(help="The directory to write the files to.")],
    store: StoreUri = DEFAULT_STORE,
    json: AsJson = False,
) -> None:
    """Restore the files that `ardm compress` compressed, with the same model."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if to.exists() and not to.is_dir():
        raise InputError(f"--to {to}: expected a directory, received a file; name another")
    pretrained = load_pretrained(target, store, None)
    with _rounds("decompressing") as called:
        files = pretrained.decompress(data, str(path), called)
    present = [name for name, _ in files if (to / name).exists()]
    if present:
        raise InputError(
            f"--to {to}: {', '.join(present[:5])} exist{'s' if len(present) == 1 else ''} there; "
            "name another directory"
        )
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--to {to}: cannot be made ({error.strerror or error})") from error
    for name, content in files:
        _replace(to / name, content)
    say(f"{len(files)} file{'s' if len(files) > 1 else ''} restored in {to}")
    if json:
        show(provenance(pretrained) | {"files": [str(to / name) for name, _ in files]})


def _replace(path: Path, data: bytes) -> None:
    """Write a file under its name only when it is whole."""
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        Path(file.name).chmod(0o666 & ~mask)
        Path(file.name).replace(path)
    except OSError as error:
        Path(file.name).unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written ({error}); name another") from error


@contextmanager
def _rounds(what: str) -> "Iterator[Callable[[], None]]":
    """A counter of the rounds of network calls, shown on a terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}, round {task.completed}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda: bar.advance(task)


COMMANDS = (compress, decompress)

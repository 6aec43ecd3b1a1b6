"""The files that commands write: where they cannot go is said before anything is computed."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ardm.errors import InputError

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

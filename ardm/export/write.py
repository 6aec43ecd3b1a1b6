"""Writes an exported model into a new directory, whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ardm.errors import InputError


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a directory that must not exist, or must be empty.

    Args:
        folder: the directory.
        files: the contents by name.

    Raises:
        InputError: there is something already, or nothing can be written there.
    """
    require_free(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise InputError(f"--to {folder}: cannot be written ({error}); name another") from error
    try:
        for name, content in files.items():
            (beside / name).write_bytes(content)
        beside.chmod(0o777 & ~_umask())
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except OSError as error:
        raise InputError(f"--to {folder}: cannot be written ({error}); name another") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def require_free(folder: Path) -> None:
    """Raise an error if there is something already where a directory is to be written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--to {folder}: it exists and is not empty; name another directory")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current

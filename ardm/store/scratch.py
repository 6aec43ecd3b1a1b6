"""Temporary directories for what travels to or from a store."""

import os
import shutil
import tempfile
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")


def prefix() -> str:
    """How the name of each temporary folder of this process begins: a killed one removes none."""
    return f"ardm-{os.getpid()}-"


def places() -> list[Path]:
    """Where temporary folders may lie."""
    return [Path(tempfile.gettempdir()), _SHARED_MEMORY]


def folder(needed: int = 0) -> tempfile.TemporaryDirectory[str]:
    """A new temporary directory, removed at the end of a `with` block.

    It lies where the system keeps such files (`TMPDIR`), or in memory where that place is full.

    Args:
        needed: bytes that must fit.

    Raises:
        OSError: it cannot be created anywhere.
    """
    usual = Path(tempfile.gettempdir())
    there = usual if _room(usual) >= needed or _room(_SHARED_MEMORY) < needed else _SHARED_MEMORY
    return tempfile.TemporaryDirectory(prefix=prefix(), dir=there)


def _room(place: Path) -> int:
    """Bytes that a directory has room for; -1 if nothing can be written there."""
    if not os.access(place, os.W_OK):
        return -1
    return shutil.disk_usage(place).free

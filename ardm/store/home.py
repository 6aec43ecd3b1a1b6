"""Where ardm keeps its own files on this machine: private ones, and temporary ones."""

import os
import shutil
import tempfile
from pathlib import Path

from ardm.errors import InputError

_SHARED_MEMORY = Path("/dev/shm")


def home() -> Path:
    """The folder of this machine's ardm (`ARDM_HOME`, default ~/.cache/ardm)."""
    return Path(os.environ.get("ARDM_HOME", "~/.cache/ardm")).expanduser().absolute()


def private_folder(name: str) -> Path:
    """A folder below `home` that nobody but this user may enter; created where it is missing.

    Raises:
        InputError: it belongs to another user.
    """
    folder = home() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.stat()
    if owner.st_uid != os.getuid():
        raise InputError(
            f"{folder} holds secrets and belongs to another user (uid {owner.st_uid}); name a "
            "folder of your own with ARDM_HOME"
        )
    if owner.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def temporary_prefix() -> str:
    """How the name of each temporary folder of this process begins: a killed one removes none."""
    return f"ardm-{os.getpid()}-"


def temporary_places() -> list[Path]:
    """Where temporary folders may lie."""
    return [Path(tempfile.gettempdir()), _SHARED_MEMORY]


def temporary_folder(needed: int = 0) -> tempfile.TemporaryDirectory[str]:
    """A new temporary directory, removed at the end of a `with` block.

    It lies where the system keeps such files (`TMPDIR`), or in memory where that place is full.

    Args:
        needed: bytes that must fit.

    Raises:
        OSError: it cannot be created anywhere.
    """
    usual = Path(tempfile.gettempdir())
    there = usual if _room(usual) >= needed or _room(_SHARED_MEMORY) < needed else _SHARED_MEMORY
    return tempfile.TemporaryDirectory(prefix=temporary_prefix(), dir=there)


def _room(place: Path) -> int:
    """Bytes that a directory has room for; -1 if nothing can be written there."""
    if not os.access(place, os.W_OK):
        return -1
    return shutil.disk_usage(place).free

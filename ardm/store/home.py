"""The folders of this machine where ardm keeps its own files, private and temporary ones."""

import os
import shutil
import tempfile
from pathlib import Path

from ardm.errors import InputError

_SHARED_MEMORY = Path("/dev/shm")


def home() -> Path:
    """The folder for ardm's own files on this machine (`ARDM_HOME`, default ~/.cache/ardm)."""
    return Path(os.environ.get("ARDM_HOME", "~/.cache/ardm")).expanduser().absolute()


def private_folder(name: str) -> Path:
    """A folder below `home` that only this user may enter; created if it is missing.

    Raises:
        InputError: the folder belongs to another user.
    """
    folder = home() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    stat = folder.stat()
    if stat.st_uid != os.getuid():
        raise InputError(
            f"{folder} holds secrets and belongs to another user (uid {stat.st_uid}); name a "
            "folder of your own with ARDM_HOME"
        )
    if stat.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def temporary_prefix() -> str:
    """The name prefix of this process's temporary folders.

    A process that is killed does not remove them; the prefix shows whose they were.
    """
    return f"ardm-{os.getpid()}-"


def temporary_places() -> list[Path]:
    """The directories in which temporary folders may lie."""
    return [Path(tempfile.gettempdir()), _SHARED_MEMORY]


def temporary_folder(needed: int = 0) -> tempfile.TemporaryDirectory[str]:
    """A new temporary directory, removed at the end of a `with` block.

    It lies in the system's temporary directory (`TMPDIR`), or in memory if that one is full.

    Args:
        needed: bytes that must fit into it.

    Raises:
        OSError: it cannot be created anywhere.
    """
    parent = Path(tempfile.gettempdir())
    if _free_bytes(parent) < needed <= _free_bytes(_SHARED_MEMORY):
        parent = _SHARED_MEMORY
    return tempfile.TemporaryDirectory(prefix=temporary_prefix(), dir=parent)


def _free_bytes(folder: Path) -> int:
    """Bytes free for files in a directory; -1 if nothing can be written there."""
    if not os.access(folder, os.W_OK):
        return -1
    return shutil.disk_usage(folder).free

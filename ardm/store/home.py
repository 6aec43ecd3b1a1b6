"""Where ardm keeps its own files on this machine, and which of them are private."""

import os
from pathlib import Path

from ardm.errors import InputError


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

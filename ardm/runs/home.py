"""Where ardm keeps files of its own on this machine."""

import os
from pathlib import Path


def home() -> Path:
    """The folder of this machine's ardm (`ARDM_HOME`, default ~/.cache/ardm)."""
    return Path(os.environ.get("ARDM_HOME", "~/.cache/ardm")).expanduser().absolute()

"""Paths of this environment's Python and of the commands installed with it."""

import shlex
import sys
from pathlib import Path


def script(name: str) -> str:
    """The path of a command that was installed with this Python."""
    return str(Path(sys.executable).with_name(name))


def plain(folder: Path) -> str:
    """A path of this Python without characters that a shell interprets.

    Ray (2.60) puts the path of its Python unquoted into a shell command. With a checkout in
    `My Drive` no worker would start; with one in a directory named `x;id`, `id` would run.

    Args:
        folder: an existing directory, which gets a link to the environment if one is needed.
    """
    if shlex.quote(sys.executable) == sys.executable:
        return sys.executable
    link = folder / "environment"
    link.symlink_to(sys.prefix)
    return str(link / Path(sys.executable).relative_to(sys.prefix))


def ray(folder: Path) -> list[str]:
    """The command `ray`, which starts its processes with the Python at `plain(folder)`."""
    return [plain(folder), "-m", "ray.scripts.scripts"]

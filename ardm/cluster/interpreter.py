"""The Python of this environment, and the commands that were installed with it."""

import shlex
import sys
from pathlib import Path


def script(name: str) -> str:
    """A command that was installed with this Python."""
    return str(Path(sys.executable).with_name(name))


def plain(folder: Path) -> str:
    """The path of this Python, without a character that means something to a shell.

    Ray (2.60) writes the path of its Python into a shell's command as it is. Where a checkout lies
    in `My Drive`, no worker would start; in a directory named `x;id`, `id` would run.

    Args:
        folder: exists, and holds a link to the environment if one is needed.
    """
    if shlex.quote(sys.executable) == sys.executable:
        return sys.executable
    link = folder / "environment"
    link.symlink_to(sys.prefix)
    return str(link / Path(sys.executable).relative_to(sys.prefix))


def ray(folder: Path) -> list[str]:
    """Ray's command line, whose processes begin with `plain(folder)`."""
    return [plain(folder), "-m", "ray.scripts.scripts"]

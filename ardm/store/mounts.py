"""What the file system below a directory cannot do: a mounted drive can do less than a disk."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}
"""Errors of a file system that does not know an operation."""

NO_LINKS = UNSUPPORTED | {errno.EPERM, errno.EMLINK, errno.EXDEV}
NO_RENAMES = UNSUPPORTED | {errno.EPERM, errno.EMFILE, errno.EXDEV, errno.EEXIST, errno.ENOTEMPTY}
"""gcsfuse refuses to rename directories with EMFILE."""


@dataclass(frozen=True)
class Abilities:
    """What a file system can do."""

    links: bool = True
    renames_directories: bool = True

    @property
    def exclusive(self) -> bool:
        """Whether a file is surely created on condition that it is not there.

        One machine cannot find that out alone. Where there are hard links it can be relied on.
        """
        return self.links

    @property
    def whole_trees(self) -> bool:
        """Whether a directory can appear at once, with all that is in it."""
        return self.links and self.renames_directories

    def caveat(self) -> str | None:
        """What is not guaranteed there, in a sentence; None if nothing is missing."""
        if not self.links:
            return (
                "this drive has no hard links: checkpoints are written to a temporary folder "
                "first, and of two attempts that begin at the same moment on two machines both "
                "may train until one sees the other's claim"
            )
        if not self.renames_directories:
            return (
                "this drive cannot rename directories: checkpoints are written to a temporary "
                "folder first"
            )
        return None


def probe(root: Path) -> Abilities:
    """Try out what the file system below a directory can do.

    Args:
        root: the directory; where nothing can be written, nothing is found to be missing.
    """
    folder = root / f".probe-{uuid.uuid4().hex}"
    moved = folder.with_suffix(".moved")
    file = folder / "file"
    try:
        folder.mkdir()
        file.write_bytes(b"")
        return Abilities(
            links=_can(lambda: os.link(file, folder / "link"), NO_LINKS),
            renames_directories=_can(lambda: folder.rename(moved), NO_RENAMES),
        )
    except OSError:
        return Abilities()
    finally:
        for left in (folder, moved):
            with suppress(OSError):
                shutil.rmtree(left)


def _can(work: Callable[[], object], refusals: set[int]) -> bool:
    try:
        work()
    except OSError as error:
        if error.errno not in refusals:
            raise
        return False
    return True

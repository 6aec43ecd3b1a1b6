"""Local files that survive a power cut, on a disk or on a mounted drive, which can do less."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}
"""Errors of a file system that does not know an operation."""

NO_LINKS = UNSUPPORTED | {errno.EPERM, errno.EMLINK, errno.EXDEV}
NO_RENAMES = UNSUPPORTED | {errno.EPERM, errno.EMFILE, errno.EXDEV, errno.EEXIST, errno.ENOTEMPTY}
"""gcsfuse refuses to rename directories with EMFILE."""


_UNSYNCED_DIRECTORY = UNSUPPORTED | {errno.EACCES, errno.EPERM}


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


def create(path: Path, data: bytes, root: Path) -> None:
    """Create a file that must not exist yet, whole and for good.

    Args:
        path: the file.
        data: its content.
        root: the directory up to which new directories are made durable as well.

    Raises:
        FileExistsError: somebody else created it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _aside(path) as aside:
        _write(aside, data)
        try:
            os.link(aside, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            # A mounted drive without hard links; there a reader may meet half a file.
            _write(path, data, os.O_EXCL)
    sync_directories(path.parent, root)


def replace(path: Path, data: bytes, root: Path) -> None:
    """Write a file whole and for good; a reader meets the old content or the new.

    Args:
        path: the file.
        data: its content.
        root: the directory up to which new directories are made durable as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _aside(path) as aside:
        _write(aside, data)
        take_place(aside, path)
    sync_directories(path.parent, root)


def take_place(aside: Path, path: Path) -> None:
    """Rename a file over another one, or over an empty directory that some tool has left there."""
    if path.is_dir():
        path.rmdir()
    try:
        aside.replace(path)
    except OSError as error:
        if error.errno not in NO_RENAMES:
            raise
        path.write_bytes(aside.read_bytes())


def rename_tree(tree: Path, to: Path, root: Path) -> None:
    """Give a directory its final name once all below it is on the disk.

    Args:
        tree: the directory.
        to: its final name, which must not exist.
        root: the directory up to which new directories are made durable as well.
    """
    for folder, _, names in os.walk(tree):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder), directory=True)
    tree.rename(to)
    sync_directories(to.parent, root)


def copy_tree(tree: Path, to: Path, root: Path, last: str) -> None:
    """Copy a directory, file by file, where none can be renamed.

    Args:
        tree: the directory.
        to: the copy, of which parts may be there.
        root: the directory up to which new directories are made durable as well.
        last: the file that is written once all the others are on the disk.
    """
    files = sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    for file in sorted(files, key=lambda file: file.as_posix() == last):
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        _write(to / file, (tree / file).read_bytes())
        sync_directories((to / file).parent, root)


def sync_directories(folder: Path, root: Path) -> None:
    """Make the names of the files in a directory durable, and its own name up to a root.

    Syncing a directory that has not changed costs next to nothing.
    """
    for directory in (folder, *folder.parents):
        _sync(directory, directory=True)
        if directory in (root.parent, directory.parent):
            return


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A name beside a file under which its content is written first."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def _write(path: Path, data: bytes, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flags, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path, *, directory: bool = False) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # Mounted drives often refuse to sync a directory; nothing better is to be had there.
        if not directory or error.errno not in _UNSYNCED_DIRECTORY:
            raise

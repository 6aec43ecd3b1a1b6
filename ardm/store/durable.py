"""Local files that survive a power cut, on a disk or on a mounted drive with fewer abilities."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}
"""Errors of a file system that does not support an operation."""

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
        """Whether exclusive creation of a file can be relied on: of several creators, one succeeds.

        A probe from one machine cannot show that. File systems with hard links can be trusted.
        """
        return self.links

    @property
    def whole_trees(self) -> bool:
        """Whether a directory can appear atomically with everything in it."""
        return self.links and self.renames_directories

    def caveat(self) -> str | None:
        """A sentence for the user on what is not guaranteed there; None if nothing is missing."""
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
    """Try out what the file system of a directory can do.

    Args:
        root: the directory; if nothing can be written there, every ability is assumed.
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
        for directory in (folder, moved):
            with suppress(OSError):
                shutil.rmtree(directory)


def _can(work: Callable[[], object], refusals: set[int]) -> bool:
    try:
        work()
    except OSError as error:
        if error.errno not in refusals:
            raise
        return False
    return True


def create(path: Path, data: bytes, root: Path) -> None:
    """Create a file that must not exist yet, atomically and durably.

    Args:
        path: path of the file.
        data: content of the file.
        root: the directory up to which new directories are made durable as well.

    Raises:
        FileExistsError: another process created it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _aside(path) as aside:
        _write(aside, data)
        try:
            os.link(aside, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            # On a mounted drive without hard links a reader may see half a file.
            _write(path, data, os.O_EXCL)
    sync_directories(path.parent, root)


def replace(path: Path, data: bytes, root: Path) -> None:
    """Write a file atomically and durably: a reader sees the old content or the new.

    Args:
        path: path of the file.
        data: content of the file.
        root: the directory up to which new directories are made durable as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _aside(path) as aside:
        _write(aside, data)
        take_place(aside, path)
    sync_directories(path.parent, root)


def take_place(aside: Path, path: Path) -> None:
    """Rename a file over another one, or over an empty directory that another tool left there."""
    if path.is_dir():
        path.rmdir()
    try:
        aside.replace(path)
    except OSError as error:
        if error.errno not in NO_RENAMES:
            raise
        path.write_bytes(aside.read_bytes())


def rename_tree(tree: Path, to: Path, root: Path) -> None:
    """Sync everything below a directory to the disk, then give the directory its final name.

    Args:
        tree: the directory.
        to: final path of the directory, which must not exist.
        root: the directory up to which new directories are made durable as well.
    """
    for folder, _, names in os.walk(tree):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder), directory=True)
    tree.rename(to)
    sync_directories(to.parent, root)


def copy_tree(tree: Path, to: Path, root: Path, last: str) -> None:
    """Copy a directory file by file, for file systems that cannot rename directories.

    Args:
        tree: the directory.
        to: path of the copy, parts of which may exist already.
        root: the directory up to which new directories are made durable as well.
        last: relative path of the file that is written after all others are on the disk.
    """
    files = sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    for file in sorted(files, key=lambda file: file.as_posix() == last):
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        _write(to / file, (tree / file).read_bytes())
        sync_directories((to / file).parent, root)


def sync_directories(folder: Path, root: Path) -> None:
    """Make a directory's entries durable, and those of its parents up to a root.

    To sync an unchanged directory costs next to nothing.
    """
    for directory in (folder, *folder.parents):
        _sync(directory, directory=True)
        if directory in (root.parent, directory.parent):
            return


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A temporary path beside a file, to which its content is written first."""
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
        # Mounted drives often refuse to sync a directory, and there is no other way to do it.
        if not directory or error.errno not in _UNSYNCED_DIRECTORY:
            raise

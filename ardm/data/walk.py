"""Listing of all files below a local folder. Symbolic links are followed; they may form circles."""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from ardm.data.provenance import Unused

_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG}
"""Errors of a link that has no target. Other errors are faults of the disk, which may pass."""

_GONE = (PermissionError, FileNotFoundError, NotADirectoryError)

HIDDEN = "hidden (the name begins with . or __)"


class Listing(NamedTuple):
    """What lies below a folder.

    Attributes:
        files: the identity of each file under its name relative to the folder, sorted by name.
            Names with equal identities belong to the same file.
        unused: entries that cannot be files of a data set.
    """

    files: dict[str, str]
    unused: list[Unused]


def is_hidden(name: str) -> bool:
    """Whether a name is hidden: operating systems and tools create such files by themselves."""
    return name.startswith((".", "__"))


def walk(root: str) -> Listing:
    """List a local folder.

    Links are followed. Below each entry of the root every real folder is read once, so circles of
    links end; real folders are read before links to them. Links to a folder above are not followed.

    Args:
        root: path of an existing folder.

    Raises:
        OSError: the root cannot be listed, or the disk fails.
    """
    listing = Listing({}, [])
    real_root = os.path.realpath(root)
    for entry in _entries(root, real_root):
        _Branch(real_root, listing).read(entry)
    return Listing(dict(sorted(listing.files.items())), listing.unused)


class _Entry(NamedTuple):
    name: str
    """Name relative to the root."""
    path: str
    real: str
    is_link: bool
    kind: Literal["file", "folder"] | Unused


class _Branch:
    """One entry of the root, and everything below it."""

    def __init__(self, root: str, listing: Listing) -> None:
        self._root, self._listing = root, listing
        self._seen: dict[str, str] = {}

    def read(self, entry: _Entry) -> None:
        folders: deque[_Entry] = deque()
        links: deque[_Entry] = deque()
        self._take([entry], folders, links)
        while folders or links:
            folder = folders.popleft() if folders else links.popleft()
            self._take(self._entries_of(folder), folders, links)

    def _take(
        self, entries: Iterable[_Entry], folders: deque[_Entry], links: deque[_Entry]
    ) -> None:
        for entry in entries:
            if entry.kind == "folder":
                (links if entry.is_link else folders).append(entry)
            elif entry.kind == "file":
                self._listing.files[entry.name] = entry.real
            else:
                self._listing.unused.append(entry.kind)

    def _entries_of(self, folder: _Entry) -> list[_Entry]:
        name = f"{folder.name}/"
        if f"{self._root}/".startswith(f"{folder.real.rstrip('/')}/"):
            self._leave_out(name, "link to a folder above it")
        elif folder.real in self._seen:
            detail = f"the same as {self._seen[folder.real]}"
            self._leave_out(name, "link to a folder that is read already", detail)
        else:
            self._seen[folder.real] = name
            try:
                entries = _entries(folder.path, folder.real, name)
            except _GONE as error:
                self._leave_out(name, "folder that cannot be read", str(error.strerror))
                return []
            if not entries:
                self._leave_out(name, "empty folder")
            return entries
        return []

    def _leave_out(self, name: str, reason: str, detail: str = "") -> None:
        self._listing.unused.append(Unused(name, reason, detail))


def _entries(path: str, real: str, prefix: str = "") -> list[_Entry]:
    with os.scandir(path) as entries:
        listed = [_entry(entry, real, prefix) for entry in entries]
    return sorted(listed, key=lambda entry: entry.name)


def _entry(entry: os.DirEntry[str], real_parent: str, prefix: str) -> _Entry:
    name, is_link = prefix + entry.name, entry.is_symlink()
    real = os.path.realpath(entry.path) if is_link else f"{real_parent.rstrip('/')}/{entry.name}"
    return _Entry(name, entry.path, real, is_link, _kind(entry, name))


def _kind(entry: os.DirEntry[str], name: str) -> Literal["file", "folder"] | Unused:
    try:
        mode = entry.stat().st_mode if entry.is_symlink() else 0
        is_folder = stat.S_ISDIR(mode) or entry.is_dir(follow_symlinks=False)
        is_file = stat.S_ISREG(mode) or entry.is_file(follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NOWHERE:
            raise
        # A name without a suffix was probably a folder, perhaps of a split, so it gets its slash.
        name = name if PurePosixPath(name).suffix else f"{name}/"
        return Unused(name, "link that leads nowhere", str(error.strerror))
    if is_hidden(entry.name):
        return Unused(f"{name}/" if is_folder else name, HIDDEN)
    if is_folder:
        return "folder"
    return "file" if is_file else Unused(name, "not a regular file")

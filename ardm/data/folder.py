"""A folder of files that is only read: on a local disk or behind any fsspec URL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ardm.data.provenance import Unused
from ardm.data.walk import HIDDEN, Listing, is_hidden, walk
from ardm.errors import DataUnreachable, InputError
from ardm.filesystem import LARGE, Directory
from ardm.outages import may_pass

BATCH = 256
"""Files that are asked for together: object stores answer them at the same time."""


class FolderUnreachable(InputError):
    """There is no such folder, or this process cannot read it."""


class Folder:
    """A folder, and all that lies below it.

    Hidden files and folders (`.name`, `__name`) are not read: systems leave them behind.

    Args:
        url: a local path, or an fsspec URL.

    Raises:
        FolderUnreachable: no such kind of place.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with self._readable():
            self._directory = Directory(url)
        # Stores answer many requests at the same time; a disk does not, and takes no memory so.
        self._together = 1 if self._directory.is_local else BATCH

    def listing(self, advice: str = "check the path") -> Listing:
        """List all files below the folder, and what else lies there.

        Links of a local folder are followed; object stores have none.

        Args:
            advice: what to do where there is no such folder.

        Raises:
            FolderUnreachable: there is no such folder, or it cannot be read.
            DataUnreachable: its store or its disk fails, which may pass.
        """
        place = self._directory
        with self._readable():
            if not place.fs.isdir(place.root):  # adlfs (2026.8) takes no time limit here
                raise FolderUnreachable(f"{self.url}: expected a folder, found none; {advice}")
            if place.is_local:
                return walk(place.root)
            paths = place.call(place.fs.find, place.root, seconds=LARGE)
            names = sorted(path.removeprefix(place.root).lstrip("/") for path in paths)
        # Some tools make an empty object for each folder, whose name ends with a slash.
        names = [name for name in names if name and not name.endswith("/")]
        hidden = {top: Unused(top, HIDDEN) for top in map(_hidden_part, names) if top}
        files = {name: name for name in names if not _hidden_part(name)}
        return Listing(files, [*hidden.values()])

    def has_file(self, name: str) -> bool:
        """Whether there is a file of this name in the folder."""
        with self._readable():
            return bool(self._directory.fs.isfile(self._directory.path(name)))

    def read(self, name: str) -> bytes:
        """Read one file.

        Raises:
            InputError: it cannot be read; DataUnreachable where that may pass.
        """
        with self._readable(InputError):
            place = self._directory
            content: bytes = place.call(place.fs.cat_file, place.path(name), seconds=LARGE)
        return content

    def read_all(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Read many files, some at a time, in the order of `names`.

        Raises:
            InputError: one cannot be read; DataUnreachable where that may pass.
        """
        place = self._directory
        for start in range(0, len(names), self._together):
            some = names[start : start + self._together]
            paths = [place.path(name) for name in some]
            with self._readable(InputError):
                # Not fs.cat: it takes a name such as a[1].png for a pattern.
                contents = place.call(
                    place.fs.cat_ranges, paths, None, None, on_error="raise", seconds=LARGE
                )
            yield from zip(some, contents, strict=True)

    @contextmanager
    def _readable(self, kind: type[InputError] = FolderUnreachable) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # every fsspec backend has exceptions of its own
            kind, check = (
                (DataUnreachable, "the connection or the disk")
                if may_pass(error)
                else (kind, "the path and the permissions")
            )
            raise kind(
                f"{self.url}: expected a folder that this process can read, received "
                f"{type(error).__name__}: {error}; check {check}"
            ) from error


def locate(path: str) -> tuple[Folder, Listing]:
    """List a folder, or the folder of a single file with this file alone.

    Args:
        path: a folder or a file: a local path, or an fsspec URL.

    Raises:
        FolderUnreachable: there is neither, or it cannot be read.
        DataUnreachable: its store or its disk fails, which may pass.
    """
    parent, _, name = path.rstrip("/").rpartition("/")
    folder = Folder(parent or "/")
    if folder.has_file(name):
        return folder, Listing({name: name}, [])
    folder = Folder(path)
    return folder, folder.listing(advice="give a file or a folder of files")


def _hidden_part(name: str) -> str | None:
    """The topmost part of a path that is hidden, with the folders above it."""
    parts = name.split("/")
    for depth, part in enumerate(parts, start=1):
        if is_hidden(part):
            return "/".join(parts[:depth]) + ("/" if depth < len(parts) else "")
    return None

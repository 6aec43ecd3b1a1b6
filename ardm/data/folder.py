"""A folder of files that is only read: on a local disk or behind any fsspec URL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ardm.data.report import Unused
from ardm.data.walk import HIDDEN, Listing, is_hidden, walk
from ardm.errors import InputError

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
            # An own instance: fsspec shares instances, and with them listings that may be old.
            self._fs, root = fsspec.core.url_to_fs(
                url, skip_instance_cache=True, use_listings_cache=False
            )
        self._root = root.rstrip("/")

    def listing(self, advice: str = "check the path") -> Listing:
        """List all files below the folder, and what else lies there.

        Links of a local folder are followed; object stores have none.

        Args:
            advice: what to do where there is no such folder.

        Raises:
            FolderUnreachable: there is no such folder, or it cannot be read.
        """
        with self._readable():
            if not self._fs.isdir(self._root):
                raise FolderUnreachable(f"{self.url}: expected a folder, found none; {advice}")
            if isinstance(self._fs, LocalFileSystem):
                return walk(self._root)
            names = sorted(self._relative(path) for path in self._fs.find(self._root))
        # Some tools leave an empty object behind for each folder, whose name ends with a slash.
        names = [name for name in names if name and not name.endswith("/")]
        hidden = {top: Unused(top, HIDDEN) for top in map(_hidden_part, names) if top}
        files = {name: name for name in names if not _hidden_part(name)}
        return Listing(files, [*hidden.values()])

    def read(self, name: str) -> bytes:
        """Read one file."""
        with self._readable():
            content: bytes = self._fs.cat_file(f"{self._root}/{name}")
        return content

    def read_all(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Read many files, some at a time, in the order of `names`."""
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            with self._readable():
                # Not fs.cat: it takes a name such as a[1].png for a pattern.
                contents = self._fs.cat_ranges(
                    [f"{self._root}/{name}" for name in some], None, None, on_error="raise"
                )
            yield from zip(some, contents, strict=True)

    def _relative(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # every fsspec backend has exceptions of its own
            raise FolderUnreachable(
                f"{self.url}: expected a folder that this process can read, received "
                f"{type(error).__name__}: {error}; check the path and the permissions"
            ) from error


def _hidden_part(name: str) -> str | None:
    """The topmost part of a path that is hidden, with the folders above it."""
    parts = name.split("/")
    for depth, part in enumerate(parts, start=1):
        if is_hidden(part):
            return "/".join(parts[:depth]) + ("/" if depth < len(parts) else "")
    return None

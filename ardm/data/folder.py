"""A folder of files that is only read: on a local disk or behind any fsspec URL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import fsspec

from ardm.errors import InputError

BATCH = 256
"""Files that are asked for together: object stores answer them at the same time."""


class Folder:
    """A folder, and all that lies below it.

    Hidden files and folders (`.name`, `__name`) are passed over: systems leave them behind.

    Args:
        url: a local path, or an fsspec URL.

    Raises:
        InputError: no such kind of place.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with self._readable():
            # An own instance: fsspec shares instances, and with them listings that may be old.
            self._fs, root = fsspec.core.url_to_fs(
                url, skip_instance_cache=True, use_listings_cache=False
            )
        self._root = root.rstrip("/")

    def names(self, advice: str = "check the path") -> list[str]:
        """All files below the folder, relative to it, in the order of their names.

        Args:
            advice: what to do where there is no such folder.

        Raises:
            InputError: there is no such folder, or it cannot be read.
        """
        with self._readable():
            self._must_exist(advice)
            found = (self._relative(path) for path in self._fs.find(self._root))
            return sorted(name for name in found if not _hidden(name))

    def first(self, suffixes: Sequence[str]) -> str | None:
        """Find one file whose name ends so, without a listing of all; files before folders."""
        with self._readable():
            self._must_exist("check the path")
            return self._first(self._root, tuple(suffixes))

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

    def _must_exist(self, advice: str) -> None:
        if not self._fs.isdir(self._root):
            raise InputError(f"{self.url}: expected a folder, found none; {advice}")

    def _first(self, path: str, suffixes: tuple[str, ...]) -> str | None:
        entries = sorted(
            (entry["type"] == "directory", entry["name"])
            for entry in self._fs.ls(path, detail=True)
            if not _hidden(self._relative(entry["name"]))
        )
        for is_folder, name in entries:
            if is_folder:
                found = self._first(name, suffixes)
                if found:
                    return found
            elif name.lower().endswith(suffixes):
                return self._relative(name)
        return None

    def _relative(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # every fsspec backend has exceptions of its own
            raise InputError(
                f"{self.url}: expected a folder that this process can read, received "
                f"{type(error).__name__}: {error}; check the path and the permissions"
            ) from error


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__")) for part in name.split("/"))

"""A directory on a local disk or behind any fsspec URL, opened for this process alone.

All that is read or kept elsewhere goes through here: stores, folders of images, cached downloads.
fsspec shares its instances, and with them old listings; and it waits minutes, or for ever, for a
server that does not answer. Here every instance is its own, and every call ends.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.asyn import AsyncFileSystem, sync
from fsspec.exceptions import FSTimeoutError
from fsspec.implementations.local import LocalFileSystem

T = TypeVar("T")

AT_ONCE_REMOTE, AT_ONCE_LOCAL = 64, 16
"""Requests under way at the same time where many objects are read."""

AT_THE_DOOR, SMALL, LARGE = 5.0, 15.0, 600.0
"""Seconds within which a remote file system must answer: when it is first tried, with a small
object or a listing, and with whole directories."""

ABSENT = (FileNotFoundError, NotADirectoryError)


class Directory:
    """A directory, and what lies in it, by the path from there.

    Args:
        url: a local path, taken as it is, or an fsspec URL such as `gs://bucket/prefix`.

    Attributes:
        fs: the file system, an instance of its own that remembers no listing.
        root: the path of the directory as the file system understands it.

    Raises:
        ImportError: the library for this kind of file system is not installed.
        ValueError: there is no such kind.
    """

    fs: Any
    root: str

    def __init__(self, url: str) -> None:
        if url.startswith(("gs://", "gcs://")):
            _bound_requests()
        if "://" in url:
            self.fs, root = fsspec.core.url_to_fs(
                url, skip_instance_cache=True, use_listings_cache=False
            )
        else:  # fsspec would take `::` in a path for a chain of addresses
            self.fs, root = LocalFileSystem(skip_instance_cache=True), os.path.abspath(url)  # noqa: PTH100
        self.root = root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether it is a directory of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, name: str) -> str:
        """The path of `name` as the file system understands it."""
        return f"{self.root}/{name}"

    def call(
        self, method: Callable[..., T], *args: Any, seconds: float | None = None, **kwargs: Any
    ) -> T:
        """Call the file system; where it is remote, an answer is waited for so long and no longer.

        The file system tries again by itself until then; without a bound it would do so for
        minutes, or wait for ever where a server accepts a connection and stays silent.

        Args:
            method: of `fs`.
            args: of the method.
            seconds: that it may take; default: `SMALL`.
            kwargs: of the method.

        Raises:
            TimeoutError: it takes longer.
        """
        if not isinstance(self.fs, AsyncFileSystem):
            return method(*args, **kwargs)
        seconds = SMALL if seconds is None else seconds
        try:
            return method(*args, **kwargs, timeout=seconds)
        except FSTimeoutError as error:
            raise TimeoutError(f"no answer within {seconds:.0f} s") from error

    def read(self, name: str) -> bytes | None:
        """The object's bytes, or None where there is none."""
        try:
            return self.call(self.fs.cat_file, self.path(name))
        except (*ABSENT, IsADirectoryError):
            return None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The bytes of several objects, read at the same time; each has the time of one.

        Returns:
            By name; an object that is not there is left out.

        Raises:
            OSError: or another error of the file system: an object could not be read for another
                reason than that it is absent.
        """
        wanted = list(names)
        if isinstance(self.fs, AsyncFileSystem):
            found = self._at_once(self.fs._cat_file, [self.path(name) for name in wanted])
        else:
            found = _on_threads(self.read, wanted)
        return {n: data for n, data in zip(wanted, found, strict=True) if data is not None}

    def names(self, directory: str = "") -> list[str]:
        """Names directly under a directory, sorted; empty where there is none."""
        path = self.path(directory) if directory else self.root
        try:
            entries = self.call(self.fs.ls, path, detail=False)
        except ABSENT:
            return []
        return _last_parts(entries)

    def names_of(self, directories: Sequence[str]) -> dict[str, list[str]]:
        """What `names` gives for several directories, listed at the same time."""
        if not isinstance(self.fs, AsyncFileSystem):
            return dict(zip(directories, _on_threads(self.names, directories), strict=True))
        paths = [self.path(directory) for directory in directories]
        listed = self._at_once(lambda path: self.fs._ls(path, detail=False), paths)
        return {d: _last_parts(e or []) for d, e in zip(directories, listed, strict=True)}

    def files(self, directory: str) -> dict[str, int]:
        """Every file below a directory, by its path from there, with its size in bytes."""
        root = self.path(directory)
        try:
            found = self.call(self.fs.find, root, detail=True)
        except ABSENT:
            return {}
        return {
            path.removeprefix(f"{root}/"): int(about.get("size") or 0)
            for path, about in found.items()
            if path.startswith(f"{root}/")
        }

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that are not there do not matter."""
        paths = [self.path(name) for name in names]
        if self.is_local:
            for path in paths:
                Path(path).unlink(missing_ok=True)
            return
        with suppress(FileNotFoundError):
            self.call(self.fs.rm, paths)

    def remove_tree(self, name: str) -> None:
        """Remove a directory and all below it; nothing happens where there is none."""
        with suppress(FileNotFoundError):
            self.call(self.fs.rm, self.path(name), recursive=True, seconds=LARGE)

    def _at_once(self, ask: Callable[[str], Awaitable[T]], paths: Sequence[str]) -> list[T | None]:
        """Ask a remote file system about many paths; None for each that is not there.

        The time limit is that of each request: thousands of them may take longer in all.
        """

        async def all_of_them() -> list[T | None]:
            gate = asyncio.Semaphore(AT_ONCE_REMOTE)

            async def one(path: str) -> T | None:
                async with gate:
                    try:
                        return await asyncio.wait_for(ask(path), SMALL)
                    except ABSENT:
                        return None
                    except TimeoutError as error:
                        raise TimeoutError(f"{path}: no answer within {SMALL:.0f} s") from error

            return await asyncio.gather(*(one(path) for path in paths))

        try:
            found: list[T | None] = sync(self.fs.loop, all_of_them)
        except FSTimeoutError as error:  # it hides what it was raised for
            raise TimeoutError(str(error.__cause__)) from error
        return found


def emulator(joint: str) -> str:
    """The variable that sends requests for Google Cloud Storage elsewhere, for a message.

    Args:
        joint: what precedes it in the message; nothing is said where the variable is not set.
    """
    host = os.environ.get("STORAGE_EMULATOR_HOST")
    return f"{joint}STORAGE_EMULATOR_HOST ({host})" if host else ""


def _on_threads(ask: Callable[[str], T], names: Sequence[str]) -> list[T]:
    if min(len(names), AT_ONCE_LOCAL) < 2:
        return [ask(name) for name in names]
    with ThreadPoolExecutor(AT_ONCE_LOCAL, thread_name_prefix="ardm-files") as threads:
        return list(threads.map(ask, names))


def _last_parts(paths: Iterable[str]) -> list[str]:
    names = {path.rstrip("/").rsplit("/", 1)[-1] for path in paths}
    return sorted(names - {""})


def _bound_requests() -> None:
    """Set time-outs for every `gs://` file system of this process, Orbax's among them.

    gcsfs (2026.10) sets none: a request that is never answered would never end.
    """
    from aiohttp import ClientTimeout

    limits = ClientTimeout(total=None, sock_connect=5.0, sock_read=SMALL)
    fsspec.config.conf.setdefault("gs", {}).setdefault("requests_timeout", limits)

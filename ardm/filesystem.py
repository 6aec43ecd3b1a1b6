"""A directory on a local disk or behind any fsspec URL, with a time limit for every call.

Stores, folders of images and cached downloads are all accessed through this class. fsspec by itself
shares instances, and with them outdated listings; and it waits minutes, or for ever, for a server
that does not answer. Here each directory has its own instance, and every call ends.
"""

import asyncio
import logging
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

from ardm.secrecy import without_secrets

T = TypeVar("T")

AT_ONCE_REMOTE, AT_ONCE_LOCAL = 64, 16
"""Largest number of simultaneous requests when many objects are read."""

AT_THE_DOOR, SMALL, LARGE = 5.0, 15.0, 600.0
"""Seconds within which a remote file system must answer: the first request, a request for a small
object or a listing, and one for whole directories."""

ABSENT = (FileNotFoundError, NotADirectoryError)


class Directory:
    """A directory and its files, each named by its path relative to the directory.

    Args:
        url: a local path, which is used as it is, or an fsspec URL such as `gs://bucket/prefix`.

    Attributes:
        fs: fsspec's file system; an instance of its own, without a cache of listings.
        root: path of the directory in that file system.

    Raises:
        ImportError: the library for this kind of file system is not installed.
        ValueError: the URL's scheme is unknown.
    """

    fs: Any
    root: str

    def __init__(self, url: str) -> None:
        if url.startswith(("gs://", "gcs://")):
            _bound_requests()
            # It logs, with a traceback, each error that it also raises.
            logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        if "://" in url:
            self.fs, root = fsspec.core.url_to_fs(
                url, skip_instance_cache=True, use_listings_cache=False
            )
        else:  # fsspec would read `::` in a path as a chain of URLs
            self.fs, root = LocalFileSystem(skip_instance_cache=True), os.path.abspath(url)  # noqa: PTH100
        self.root = root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether it is a directory of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, name: str) -> str:
        """The path of `name` in the file system."""
        return f"{self.root}/{name}"

    def call(
        self, method: Callable[..., T], *args: Any, seconds: float | None = None, **kwargs: Any
    ) -> T:
        """Call a method of the file system, with a time limit if it is remote.

        Within the limit the file system retries by itself. Without one it would do so for minutes,
        or wait for ever for a server that accepts a connection and stays silent.

        Args:
            method: a method of `fs`.
            args: positional arguments of the method.
            seconds: seconds that a remote call may take; default: `SMALL`.
            kwargs: keyword arguments of the method.

        Raises:
            TimeoutError: the call takes longer.
        """
        if not isinstance(self.fs, AsyncFileSystem):
            return method(*args, **kwargs)
        seconds = SMALL if seconds is None else seconds
        try:
            return method(*args, **kwargs, timeout=seconds)
        except FSTimeoutError as error:
            raise TimeoutError(f"no answer within {seconds:.0f} s") from error

    def read(self, name: str) -> bytes | None:
        """The content of an object; None if there is no such object."""
        try:
            return self.call(self.fs.cat_file, self.path(name))
        except (*ABSENT, IsADirectoryError):
            return None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The contents of several objects, read in parallel; the time limit is that of each.

        Returns:
            The contents by name; an object that does not exist is left out.

        Raises:
            OSError: an object exists but could not be read; some file systems raise errors of
                another class.
        """
        wanted = list(names)
        if isinstance(self.fs, AsyncFileSystem):
            contents = self._at_once(self.fs._cat_file, [self.path(name) for name in wanted])
        else:
            contents = _on_threads(self.read, wanted)
        return {n: data for n, data in zip(wanted, contents, strict=True) if data is not None}

    def names(self, directory: str = "") -> list[str]:
        """The names directly in a directory, sorted; empty if there is no such directory."""
        path = self.path(directory) if directory else self.root
        try:
            entries = self.call(self.fs.ls, path, detail=False)
        except ABSENT:
            return []
        return _last_parts(entries)

    def names_of(self, directories: Sequence[str]) -> dict[str, list[str]]:
        """The result of `names` for each of several directories, listed in parallel."""
        if not isinstance(self.fs, AsyncFileSystem):
            return dict(zip(directories, _on_threads(self.names, directories), strict=True))
        paths = [self.path(directory) for directory in directories]
        listings = self._at_once(lambda path: self.fs._ls(path, detail=False), paths)
        return {d: _last_parts(e or []) for d, e in zip(directories, listings, strict=True)}

    def files(self, directory: str) -> dict[str, int]:
        """The size in bytes of every file below a directory, by its path relative to it."""
        root = self.path(directory)
        try:
            entries = self.call(self.fs.find, root, detail=True)
        except ABSENT:
            return {}
        return {
            path.removeprefix(f"{root}/"): int(entry.get("size") or 0)
            for path, entry in entries.items()
            if path.startswith(f"{root}/")
        }

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that do not exist are ignored."""
        paths = [self.path(name) for name in names]
        if self.is_local:
            for path in paths:
                Path(path).unlink(missing_ok=True)
            return
        with suppress(FileNotFoundError):
            self.call(self.fs.rm, paths)

    def remove_tree(self, name: str) -> None:
        """Remove a directory and everything below it, if it exists."""
        with suppress(FileNotFoundError):
            self.call(self.fs.rm, self.path(name), recursive=True, seconds=LARGE)

    def _at_once(
        self, request: Callable[[str], Awaitable[T]], paths: Sequence[str]
    ) -> list[T | None]:
        """Send a request for each of many paths; None for each path that does not exist.

        The time limit is that of each request: thousands of them may take longer in all.
        """

        async def all_of_them() -> list[T | None]:
            slots = asyncio.Semaphore(AT_ONCE_REMOTE)

            async def one(path: str) -> T | None:
                async with slots:
                    try:
                        return await asyncio.wait_for(request(path), SMALL)
                    except ABSENT:
                        return None
                    except TimeoutError as error:
                        raise TimeoutError(f"{path}: no answer within {SMALL:.0f} s") from error

            return await asyncio.gather(*(one(path) for path in paths))

        try:
            answers: list[T | None] = sync(self.fs.loop, all_of_them)
        except FSTimeoutError as error:  # only its cause has the message
            raise TimeoutError(str(error.__cause__)) from error
        return answers


def emulator(joint: str) -> str:
    """The variable that redirects requests to Google Cloud Storage, as part of a message.

    Args:
        joint: text before the variable. If the variable is not set, the result is empty.
    """
    host = os.environ.get("STORAGE_EMULATOR_HOST")
    return without_secrets(f"{joint}STORAGE_EMULATOR_HOST ({host})") if host else ""


def _on_threads(read: Callable[[str], T], names: Sequence[str]) -> list[T]:
    if min(len(names), AT_ONCE_LOCAL) < 2:
        return [read(name) for name in names]
    with ThreadPoolExecutor(AT_ONCE_LOCAL, thread_name_prefix="ardm-files") as threads:
        return list(threads.map(read, names))


def _last_parts(paths: Iterable[str]) -> list[str]:
    names = {path.rstrip("/").rsplit("/", 1)[-1] for path in paths}
    return sorted(names - {""})


def _bound_requests() -> None:
    """Set timeouts for every `gs://` file system of this process, including those of Orbax.

    gcsfs (2026.10) sets none: a request without an answer would never end.
    """
    from aiohttp import ClientTimeout

    limits = ClientTimeout(total=None, sock_connect=5.0, sock_read=SMALL)
    fsspec.config.conf.setdefault("gs", {}).setdefault("requests_timeout", limits)

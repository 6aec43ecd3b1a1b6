"""A store: one directory, on a local disk or behind any fsspec URL, in which runs live.

fsspec is what Ray, Orbax and TFDS accept for paths, so one URL names the same place to all of them.
"""

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.exceptions import FSTimeoutError
from fsspec.implementations.local import LocalFileSystem

from ardm.errors import StoreUnusable

T = TypeVar("T")

AT_THE_DOOR, SMALL, LARGE = 5.0, 15.0, 600.0
"""Seconds within which a remote store must answer: when it is first tried, with a small object or
a listing, and with whole directories."""

_GOOGLE = ("gs://", "gcs://")


class Store:
    """Small objects under one root, by relative path.

    Args:
        uri: a local path, or an fsspec URL such as `gs://bucket/prefix`.
    """

    def __init__(self, uri: str) -> None:
        if "://" not in uri:
            uri = str(Path(uri).expanduser().resolve())
        self.uri = uri.rstrip("/")
        if self.uri.startswith(_GOOGLE):
            _bound_requests()
        try:
            # Own instance: fsspec shares instances, and with them gcsfs's listing cache.
            self.fs, root = fsspec.core.url_to_fs(
                self.uri, skip_instance_cache=True, use_listings_cache=False
            )
        except (ImportError, ValueError) as error:
            raise StoreUnusable(f"store {uri}: no such kind of store ({error})") from error
        self.root = root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the store is a directory of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, name: str) -> str:
        """The path of `name` as the file system understands it."""
        return f"{self.root}/{name}"

    def url(self, name: str) -> str:
        """The full address of `name`, for libraries that take one."""
        return f"{self.uri}/{name}"

    def create(self, name: str, data: bytes) -> None:
        """Write an object that must not exist yet; of several callers exactly one succeeds.

        Raises:
            FileExistsError: somebody else created it.
        """
        if self.is_local:
            Path(self.path(name)).parent.mkdir(parents=True, exist_ok=True)
            # Written aside and linked, so that a reader never meets half an object.
            aside = Path(f"{self.path(name)}.{uuid.uuid4().hex}")
            try:
                aside.write_bytes(data)
                os.link(aside, self.path(name))
            finally:
                aside.unlink(missing_ok=True)
        else:
            self._call(self.fs.pipe_file, self.path(name), data, mode="create")

    def write(self, name: str, data: bytes, seconds: float | None = None) -> None:
        """Write an object whole, replacing what was there; a reader meets the old or the new."""
        if self.is_local:
            Path(self.path(name)).parent.mkdir(parents=True, exist_ok=True)
            aside = Path(f"{self.path(name)}.{uuid.uuid4().hex}")
            try:
                aside.write_bytes(data)
                aside.replace(self.path(name))
            finally:
                aside.unlink(missing_ok=True)
        else:
            self._call(self.fs.pipe_file, self.path(name), data, seconds=seconds)

    def read(self, name: str) -> bytes | None:
        """The object's bytes, or None where there is none."""
        try:
            return self._call(self.fs.cat_file, self.path(name))
        except FileNotFoundError:
            return None

    def read_json(self, name: str) -> Any:
        """The object's JSON value, or None where there is none."""
        data = self.read(name)
        return None if data is None else json.loads(data)

    def read_many(self, names: list[str]) -> list[bytes]:
        """The bytes of several objects, fetched at once where the store can."""
        if not names:
            return []
        paths = [self.path(name) for name in names]
        if isinstance(self.fs, AsyncFileSystem):
            found = self._call(self.fs.cat, paths, on_error="omit")
            by_path = {str(path): data for path, data in found.items()}
            return [by_path[path] for path in paths if path in by_path]
        return [data for name in names if (data := self.read(name)) is not None]

    def names(self, directory: str = "") -> list[str]:
        """Names directly under a directory, sorted; empty where there is none."""
        path = self.path(directory) if directory else self.root
        try:
            entries = self._call(self.fs.ls, path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = {entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries}
        return sorted(names - {""})

    def remove_tree(self, name: str) -> None:
        """Remove a directory and all below it; nothing happens where there is none."""
        try:
            self._call(self.fs.rm, self.path(name), recursive=True, seconds=LARGE)
        except FileNotFoundError:
            return

    def fetch_tree(self, name: str, to: Path) -> None:
        """Copy a directory and all below it to this machine; `to` must not exist."""
        self._call(self.fs.get, self.path(name), str(to), recursive=True, seconds=LARGE)

    def move_tree(self, name: str, to: str) -> None:
        """Move a directory and all below it."""
        if self.is_local:
            Path(self.path(to)).parent.mkdir(parents=True, exist_ok=True)
        self._call(self.fs.mv, self.path(name), self.path(to), recursive=True, seconds=LARGE)

    def size(self, name: str) -> int:
        """Bytes of a directory and all below it."""
        return int(self._call(self.fs.du, self.path(name)))

    def read_through(self, name: str) -> None:
        """Read every object below a directory and keep none: whether the store gives them.

        Raises:
            OSError: or another error of the file system; the store does not answer.
        """
        for path in self._call(self.fs.find, self.path(name)):
            self._call(self.fs.cat_file, path, seconds=LARGE)

    def check(self) -> None:
        """Write, read and remove a small object.

        Raises:
            StoreUnusable: with the reason and what to do.
        """
        probe = f".probe-{uuid.uuid4().hex}"
        try:
            self.write(probe, b"ardm", AT_THE_DOOR)
            self._call(self.fs.rm, self.path(probe), seconds=AT_THE_DOOR)
        except FileNotFoundError as error:
            raise StoreUnusable(
                f"store {self.uri}: not found ({error}). Create the bucket, or name another "
                "store with --store or ARDM_STORE."
            ) from error
        except TimeoutError as error:
            raise StoreUnusable(
                f"store {self.uri}: cannot be reached ({error}). Check the network"
                f"{_emulated()}, or name another store with --store or ARDM_STORE."
            ) from error
        except Exception as error:  # every file system has errors of its own
            raise StoreUnusable(
                f"store {self.uri}: cannot be written ({type(error).__name__}: {error}). "
                "Check its permissions and your credentials, or name another store with "
                "--store or ARDM_STORE."
            ) from error

    def _call(
        self, method: Callable[..., T], *args: Any, seconds: float | None = None, **kwargs: Any
    ) -> T:
        """Call the file system; where it is remote, an answer is waited for so long and no longer.

        The file system tries again by itself until then; without a bound it would do so for
        minutes, or wait for ever where a server accepts a connection and stays silent.
        """
        if not isinstance(self.fs, AsyncFileSystem):
            return method(*args, **kwargs)
        seconds = SMALL if seconds is None else seconds
        try:
            return method(*args, **kwargs, timeout=seconds)
        except FSTimeoutError as error:
            raise TimeoutError(f"no answer within {seconds:.0f} s") from error


def _bound_requests() -> None:
    """Set time-outs for every `gs://` file system of this process, Orbax's among them.

    gcsfs (2026.10) sets none: a request that is never answered would never end.
    """
    from aiohttp import ClientTimeout

    limits = ClientTimeout(total=None, sock_connect=5.0, sock_read=SMALL)
    fsspec.config.conf.setdefault("gs", {}).setdefault("requests_timeout", limits)


def _emulated() -> str:
    host = os.environ.get("STORAGE_EMULATOR_HOST")
    return f" and STORAGE_EMULATOR_HOST ({host})" if host else ""

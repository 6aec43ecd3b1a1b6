"""A store: one directory, on a local disk or behind any fsspec URL, in which runs live.

fsspec is what Ray, Orbax and TFDS accept for paths, so one URL names the same place to all of them.
"""

import asyncio
import glob
import json
import logging
import os
import shutil
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.asyn import AsyncFileSystem, sync
from fsspec.exceptions import FSTimeoutError
from fsspec.implementations.local import LocalFileSystem

from ardm.errors import StoreUnusable
from ardm.store import addresses, arrays, durable
from ardm.store.durable import Abilities

log = logging.getLogger(__name__)

T = TypeVar("T")

AT_ONCE_REMOTE, AT_ONCE_LOCAL = 64, 16
"""Requests under way at the same time where many objects are read."""

AT_THE_DOOR, SMALL, LARGE = 5.0, 15.0, 600.0
"""Seconds within which a remote store must answer: when it is first tried, with a small object or
a listing, and with whole directories."""


class Store:
    """Small objects under one root, by relative path.

    Args:
        uri: a path, or a URL such as `gs://bucket/prefix`; see `addresses.normal_form`.

    Raises:
        InputError: no runs can be kept there.
        StoreUnusable: the library for this kind of store is not installed.
    """

    def __init__(self, uri: str) -> None:
        self.uri = addresses.normal_form(uri)
        if self.uri.startswith("gs://"):
            _bound_requests()
        try:
            # Own instance: fsspec shares instances, and with them gcsfs's listing cache.
            self.fs, root = fsspec.core.url_to_fs(
                self.uri, skip_instance_cache=True, use_listings_cache=False
            )
        except ImportError as error:
            raise StoreUnusable(f"store {uri}: its library cannot be loaded ({error})") from error
        self.root = root.rstrip("/")
        self._unreadable: set[str] = set()

    @property
    def is_local(self) -> bool:
        """Whether the store is a directory of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    @cached_property
    def abilities(self) -> Abilities:
        """What the file system below a directory can do, which is tried out once."""
        return durable.probe(Path(self.root)) if self.is_local else Abilities()

    @property
    def takes_whole_trees(self) -> bool:
        """Whether Orbax can write a directory there that appears at once, with all that is in it.

        Orbax (0.12.8) takes brackets in a path for a pattern, and leaves half of its files out.
        """
        return self.is_local and self.abilities.whole_trees and not glob.has_magic(self.root)

    def path(self, name: str) -> str:
        """The path of `name` as the file system understands it."""
        return f"{self.root}/{name}"

    def url(self, name: str) -> str:
        """The full address of `name`, for libraries that take one."""
        return f"{self.uri}/{name}"

    def create(self, name: str, data: bytes) -> None:
        """Write an object that must not exist yet; of several callers exactly one succeeds.

        Once it is there, a power cut does not lose it.

        Raises:
            FileExistsError: somebody else created it.
        """
        if self.is_local:
            durable.create(Path(self.path(name)), data, Path(self.root))
        else:
            self._call(self.fs.pipe_file, self.path(name), data, mode="create")

    def write(
        self, name: str, data: bytes, seconds: float | None = None, *, lasting: bool = False
    ) -> None:
        """Write an object whole, replacing what was there; a reader meets the old or the new.

        Args:
            name: of the object.
            data: its content.
            seconds: within which a remote store must answer.
            lasting: whether a power cut must not lose it; a remote store never does.
        """
        path = Path(self.path(name))
        if not self.is_local:
            self._call(self.fs.pipe_file, self.path(name), data, seconds=seconds)
        elif lasting:
            durable.replace(path, data, Path(self.root))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(f"{path}.{uuid.uuid4().hex}")
            try:
                aside.write_bytes(data)
                durable.take_place(aside, path)
            finally:
                aside.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """The object's bytes, or None where there is none."""
        try:
            return self._call(self.fs.cat_file, self.path(name))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def read_record(self, name: str) -> dict[str, Any] | None:
        """The JSON object that a file holds.

        A power cut, a full disk or a tool that copies files may leave anything behind. What holds
        no JSON object is as good as absent, and is reported once.

        Returns:
            The object; None where there is none.
        """
        data = self.read(name)
        return None if data is None else self.record(name, data)

    def record(self, name: str, data: bytes) -> dict[str, Any] | None:
        """The JSON object that the content of a file holds: see `read_record`."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        self.report_unreadable(name)
        return None

    def report_unreadable(self, name: str) -> None:
        """Warn, once, that the content of a file cannot be used."""
        if name not in self._unreadable:
            self._unreadable.add(name)
            log.warning("%s cannot be read and is ignored", self.url(name))

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
            found = self._on_threads(self.read, wanted)
        return {n: data for n, data in zip(wanted, found, strict=True) if data is not None}

    def read_records(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Several JSON objects, read at the same time: see `read_many` and `read_record`."""
        found = self.read_many(names)
        records = {name: self.record(name, data) for name, data in found.items()}
        return {name: record for name, record in records.items() if record is not None}

    def names_of(self, directories: Sequence[str]) -> dict[str, list[str]]:
        """What `names` gives for several directories, listed at the same time."""
        if not isinstance(self.fs, AsyncFileSystem):
            return dict(zip(directories, self._on_threads(self.names, directories), strict=True))
        paths = [self.path(directory) for directory in directories]
        listed = self._at_once(lambda path: self.fs._ls(path, detail=False), paths)
        return {d: _last_parts(e or []) for d, e in zip(directories, listed, strict=True)}

    def names(self, directory: str = "") -> list[str]:
        """Names directly under a directory, sorted; empty where there is none."""
        path = self.path(directory) if directory else self.root
        try:
            entries = self._call(self.fs.ls, path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return _last_parts(entries)

    def exists(self, name: str) -> bool:
        """Whether a small object is there.

        It is read: of an absent one, the other ways to ask gcsfs (2026.10) make it list a prefix,
        which costs ten times as much.
        """
        return self.read(name) is not None

    def files(self, directory: str) -> dict[str, int]:
        """Every file below a directory, by its path from there, with its size in bytes."""
        root = self.path(directory)
        try:
            found = self._call(self.fs.find, root, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {
            path.removeprefix(f"{root}/"): int(about.get("size") or 0)
            for path, about in found.items()
            if path.startswith(f"{root}/")
        }

    def age(self, name: str) -> float:
        """Seconds since an object was written, by the store's own clock.

        The clocks of the machine that wrote it and of this one do not matter: a probe that is
        written now bears the time of the same clock.

        Raises:
            OSError: or another error of the file system; nothing may be written here, say.
        """
        probe = f"{name}.{uuid.uuid4().hex}"
        self.write(probe, b"")
        try:
            # gcsfs (2026.10) takes no time limit here; its requests have limits of their own.
            now, then = (self.fs.modified(self.path(n)) for n in (probe, name))
        finally:
            self._call(self.fs.rm, self.path(probe))
        return float((now - then).total_seconds())

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that are not there do not matter."""
        paths = [self.path(name) for name in names]
        if self.is_local:
            for path in paths:
                Path(path).unlink(missing_ok=True)
            return
        with suppress(FileNotFoundError):
            self._call(self.fs.rm, paths)

    def remove_tree(self, name: str) -> None:
        """Remove a directory and all below it; nothing happens where there is none."""
        try:
            self._call(self.fs.rm, self.path(name), recursive=True, seconds=LARGE)
        except FileNotFoundError:
            return

    def fetch_tree(self, name: str, to: Path) -> None:
        """Copy a directory and all below it to this machine; `to` must not exist.

        Raises:
            FileNotFoundError: there is no such directory.
        """
        names = self.files(name)
        if not names:
            raise FileNotFoundError(self.url(name))
        for folder in {(to / file).parent for file in names}:
            folder.mkdir(parents=True, exist_ok=True)
        sources = [self.path(f"{name}/{file}") for file in names]
        self._call(self.fs.get, sources, [str(to / file) for file in names], seconds=LARGE)

    def publish_tree(self, folder: Path, name: str, last: str) -> None:
        """Put a directory of this machine into the store, where it appears as a whole.

        Args:
            folder: on this machine; in a store that takes whole trees on the same disk, and gone
                afterwards.
            name: of the directory in the store, which must not exist where it takes whole trees.
            last: the file that a reader takes for the sign that the directory is complete.
        """
        if self.is_local:
            target, root = Path(self.path(name)), Path(self.root)
            if self.takes_whole_trees:
                durable.rename_tree(folder, target, root)
            else:
                durable.copy_tree(folder, target, root, last)
            return
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
        files = [file for file in files if file != last and (folder / file).is_file()]
        sources = [str(folder / file) for file in files]
        targets = [self.path(f"{name}/{file}") for file in files]
        self._call(self.fs.put, sources, targets, seconds=LARGE)
        self._call(self.fs.pipe_file, self.path(f"{name}/{last}"), (folder / last).read_bytes())

    def move_tree(self, name: str, to: str) -> None:
        """Move a directory and all below it."""
        if self.is_local:
            tree, target = Path(self.path(name)), Path(self.path(to))
            target.parent.mkdir(parents=True, exist_ok=True)
            if not self.takes_whole_trees:
                durable.copy_tree(tree, target, Path(self.root), last="")
                shutil.rmtree(tree)
                return
            self._call(self.fs.mv, str(tree), str(target), recursive=True)
            return
        files = list(self.files(name))
        sources = [self.path(f"{name}/{file}") for file in files]
        targets = [self.path(f"{to}/{file}") for file in files]
        self._call(self.fs.copy, sources, targets, seconds=LARGE)
        self._call(self.fs.rm, sources, seconds=LARGE)

    def read_through(self, name: str) -> None:
        """Read every object below a directory and keep none: whether the store gives them.

        Raises:
            OSError: or another error of the file system; the store does not answer.
        """
        for file in self.files(name):
            self._call(self.fs.cat_file, self.path(f"{name}/{file}"), seconds=LARGE)

    def is_there(self) -> bool:
        """Whether there is such a directory, or such a bucket with or without anything in it.

        Raises:
            OSError: or another error of the file system; the store does not answer.
        """
        if self.is_local:
            return Path(self.root).is_dir()
        try:
            # A prefix without objects is as good as an empty directory; a bucket has to be there.
            bucket = self.root.partition("/")[0]
            self._call(self.fs.ls, bucket, detail=False, seconds=AT_THE_DOOR)
        except FileNotFoundError:
            return False
        return True

    def check(self) -> None:
        """Write, read and remove a small object, and an array as a checkpoint holds them.

        Raises:
            StoreUnusable: with the reason and what to do.
        """
        probe = f".probe-{uuid.uuid4().hex}"
        try:
            self.write(probe, b"ardm", AT_THE_DOOR)
            if (found := self.read(probe)) != b"ardm":
                raise OSError(f"4 bytes were written and {found!r} was read back")
            self._call(self.fs.rm, self.path(probe), seconds=AT_THE_DOOR)
            if self.takes_whole_trees:
                arrays.check(Path(self.path(f"{probe}.arrays")))
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
                f"store {self.uri}: cannot be written ({_in_a_line(error)}). "
                "Check its permissions and your credentials, or name another store with "
                "--store or ARDM_STORE."
            ) from error

    def _at_once(self, ask: Callable[[str], Awaitable[T]], paths: Sequence[str]) -> list[T | None]:
        """Ask a remote store about many paths; None for each that is not there.

        The time limit is that of each request: thousands of them may take longer in all.
        """

        async def all_of_them() -> list[T | None]:
            gate = asyncio.Semaphore(AT_ONCE_REMOTE)

            async def one(path: str) -> T | None:
                async with gate:
                    try:
                        return await asyncio.wait_for(ask(path), SMALL)
                    except (FileNotFoundError, NotADirectoryError):
                        return None
                    except TimeoutError as error:
                        raise TimeoutError(f"{path}: no answer within {SMALL:.0f} s") from error

            return await asyncio.gather(*(one(path) for path in paths))

        try:
            found: list[T | None] = sync(self.fs.loop, all_of_them)
        except FSTimeoutError as error:  # it hides what it was raised for
            raise TimeoutError(str(error.__cause__)) from error
        return found

    def _on_threads(self, ask: Callable[[str], T], names: Sequence[str]) -> list[T]:
        if min(len(names), AT_ONCE_LOCAL) < 2:
            return [ask(name) for name in names]
        with ThreadPoolExecutor(AT_ONCE_LOCAL, thread_name_prefix="ardm-store") as threads:
            return list(threads.map(ask, names))

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


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


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


def _emulated() -> str:
    host = os.environ.get("STORAGE_EMULATOR_HOST")
    return f" and STORAGE_EMULATOR_HOST ({host})" if host else ""

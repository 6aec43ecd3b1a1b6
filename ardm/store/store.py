"""A store: one directory, on a local disk or behind any fsspec URL, in which runs live.

fsspec is what Ray, Orbax and TFDS accept for paths, so one URL names the same place to all of them.
"""

import glob
import json
import logging
import shutil
import uuid
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from ardm import filesystem
from ardm.errors import StoreUnusable
from ardm.store import addresses, arrays, durable
from ardm.store.durable import Abilities

log = logging.getLogger(__name__)


class Store(filesystem.Directory):
    """Small objects under one root, by relative path.

    Args:
        uri: a path, or a URL such as `gs://bucket/prefix`; see `addresses.normal_form`.

    Raises:
        InputError: no runs can be kept there.
        StoreUnusable: the library for this kind of store is not installed.
    """

    def __init__(self, uri: str) -> None:
        self.uri = addresses.normal_form(uri)
        try:
            super().__init__(self.uri)
        except ImportError as error:
            raise StoreUnusable(f"store {uri}: its library cannot be loaded ({error})") from error
        self._unreadable: set[str] = set()

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
            self.call(self.fs.pipe_file, self.path(name), data, mode="create")

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
            self.call(self.fs.pipe_file, self.path(name), data, seconds=seconds)
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

    def read_records(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Several JSON objects, read at the same time: see `read_many` and `read_record`."""
        found = self.read_many(names)
        records = {name: self.record(name, data) for name, data in found.items()}
        return {name: record for name, record in records.items() if record is not None}

    def exists(self, name: str) -> bool:
        """Whether a small object is there.

        It is read: of an absent one, the other ways to ask gcsfs (2026.10) make it list a prefix,
        which costs ten times as much.
        """
        return self.read(name) is not None

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
            self.call(self.fs.rm, self.path(probe))
        return float((now - then).total_seconds())

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
        self.call(
            self.fs.get, sources, [str(to / file) for file in names], seconds=filesystem.LARGE
        )

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
        self.call(self.fs.put, sources, targets, seconds=filesystem.LARGE)
        self.call(self.fs.pipe_file, self.path(f"{name}/{last}"), (folder / last).read_bytes())

    def move_tree(self, name: str, to: str) -> None:
        """Move a directory and all below it."""
        if self.is_local:
            tree, target = Path(self.path(name)), Path(self.path(to))
            target.parent.mkdir(parents=True, exist_ok=True)
            if not self.takes_whole_trees:
                durable.copy_tree(tree, target, Path(self.root), last="")
                shutil.rmtree(tree)
                return
            self.call(self.fs.mv, str(tree), str(target), recursive=True)
            return
        files = list(self.files(name))
        sources = [self.path(f"{name}/{file}") for file in files]
        targets = [self.path(f"{to}/{file}") for file in files]
        self.call(self.fs.copy, sources, targets, seconds=filesystem.LARGE)
        self.call(self.fs.rm, sources, seconds=filesystem.LARGE)

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
            self.call(self.fs.ls, bucket, detail=False, seconds=filesystem.AT_THE_DOOR)
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
            self.write(probe, b"ardm", filesystem.AT_THE_DOOR)
            if (found := self.read(probe)) != b"ardm":
                raise OSError(f"4 bytes were written and {found!r} was read back")
            self.call(self.fs.rm, self.path(probe), seconds=filesystem.AT_THE_DOOR)
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
                f"{filesystem.emulator(' and ')}, or name another store with --store or ARDM_STORE."
            ) from error
        except Exception as error:  # every file system has errors of its own
            raise StoreUnusable(
                f"store {self.uri}: cannot be written ({_in_a_line(error)}). "
                "Check its permissions and your credentials, or name another store with "
                "--store or ARDM_STORE."
            ) from error


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]

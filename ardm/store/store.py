"""A store: one directory, on a local disk or behind any fsspec URL, in which runs live.

Ray, Orbax and TFDS accept fsspec URLs as paths, so one URL means the same directory to all of them.
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
from ardm.errors import StoreUnusable, in_a_line
from ardm.store import addresses, arrays, durable
from ardm.store.durable import Abilities

log = logging.getLogger(__name__)


class Store(filesystem.Directory):
    """A directory of small objects, each named by its path relative to the root.

    Args:
        uri: a path, or a URL such as `gs://bucket/prefix`; see `addresses.normal_form`.

    Raises:
        InputError: the address cannot hold runs.
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
        """The abilities of the store's file system, which are probed once."""
        return durable.probe(Path(self.root)) if self.is_local else Abilities()

    @property
    def takes_whole_trees(self) -> bool:
        """Whether a directory that Orbax writes there appears atomically with everything in it.

        Orbax (0.12.8) reads brackets in a path as a glob pattern and then omits half of its files.
        """
        return self.is_local and self.abilities.whole_trees and not glob.has_magic(self.root)

    def url(self, name: str) -> str:
        """The full address of `name`, for libraries that take one."""
        return f"{self.uri}/{name}"

    def create(self, name: str, data: bytes) -> None:
        """Write an object that must not exist yet; of several callers exactly one succeeds.

        Once the call returns, the object survives a power cut.

        Raises:
            FileExistsError: another process created it.
        """
        if self.is_local:
            durable.create(Path(self.path(name)), data, Path(self.root))
        else:
            self.call(self.fs.pipe_file, self.path(name), data, mode="create")

    def write(
        self, name: str, data: bytes, seconds: float | None = None, *, lasting: bool = False
    ) -> None:
        """Write an object atomically: a reader sees the old content or the new.

        Args:
            name: name of the object.
            data: content of the object.
            seconds: seconds within which a remote store must answer; default: `filesystem.SMALL`.
            lasting: whether it must survive a power cut, as it always does in a remote store.
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

        After a power cut, a full disk or a failed copy a file may hold anything. A file without a
        JSON object counts as absent, and is reported once.

        Returns:
            The JSON object; None if there is none.
        """
        data = self.read(name)
        return None if data is None else self.record(name, data)

    def record(self, name: str, data: bytes) -> dict[str, Any] | None:
        """The JSON object in the content of a file: see `read_record`."""
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
        contents = self.read_many(names)
        records = {name: self.record(name, data) for name, data in contents.items()}
        return {name: record for name, record in records.items() if record is not None}

    def exists(self, name: str) -> bool:
        """Whether a small object exists.

        This reads the object: if it is absent, gcsfs's other methods (2026.10) list a prefix, which
        costs ten times as much.
        """
        return self.read(name) is not None

    def age(self, name: str) -> float:
        """Seconds since an object was written, by the store's own clock.

        Its time is compared with that of a probe object written now, so the clocks of this machine
        and of the writer do not matter.

        Raises:
            OSError: the probe cannot be written; some file systems raise errors of another class.
        """
        probe = f"{name}.{uuid.uuid4().hex}"
        self.write(probe, b"")
        try:
            # `modified` of gcsfs (2026.10) takes no time limit; its requests have their own.
            now, then = (self.fs.modified(self.path(n)) for n in (probe, name))
        finally:
            self.call(self.fs.rm, self.path(probe))
        return float((now - then).total_seconds())

    def fetch_tree(self, name: str, to: Path) -> None:
        """Copy a directory and everything below it to the local path `to`, which must not exist.

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
        """Move or copy a local directory into the store, where it becomes complete atomically.

        Args:
            folder: the local directory. If the store takes whole trees, it must be on the store's
                disk, and it is moved.
            name: name of the directory in the store. If the store takes whole trees, it must not
                exist.
            last: name of the file by which a reader knows that the directory is complete.
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
        """Move a directory and everything below it to another name."""
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
        """Whether the store's directory exists, or its bucket, which may be empty.

        Raises:
            OSError: the store does not answer; some file systems raise errors of another class.
        """
        if self.is_local:
            return Path(self.root).is_dir()
        try:
            # A prefix without objects is like an empty directory, but the bucket has to exist.
            bucket = self.root.partition("/")[0]
            self.call(self.fs.ls, bucket, detail=False, seconds=filesystem.AT_THE_DOOR)
        except FileNotFoundError:
            return False
        return True

    def check(self) -> None:
        """Write, read and remove a small object and, on a local disk, a TensorStore array.

        Raises:
            StoreUnusable: the store cannot be used; the message has the reason and the remedy.
        """
        probe = f".probe-{uuid.uuid4().hex}"
        try:
            self.write(probe, b"ardm", filesystem.AT_THE_DOOR)
            if (content := self.read(probe)) != b"ardm":
                raise OSError(f"4 bytes were written and {content!r} was read back")
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
        except Exception as error:  # file systems raise errors of many classes
            raise StoreUnusable(
                f"store {self.uri}: cannot be written ({in_a_line(error)}). "
                "Check its permissions and your credentials, or name another store with "
                "--store or ARDM_STORE."
            ) from error

"""Compiled programs in a store: each with a checksum, replaced where it is damaged, bounded in all.

JAX's own cache (0.10 to 0.12) writes in place, never replaces an entry, and so compiles at every
start what a killed process or a full disk has cut off.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ardm.outages import of_the_store
from ardm.runner._jax import CacheInterface
from ardm.store.retry import in_background
from ardm.store.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

LIMIT = 2 * 1024**3
"""Bytes that the programs of a store may take, of all kinds of machines together."""

REST = 60.0
"""Seconds for which a cache that fails is left alone: each question may take seconds to fail."""

SUFFIX = ".program"
_OLDER_SUFFIXES = ("-cache", "-atime")
"""What JAX's own cache writes, which ardm used before."""

_CHECKSUM_BYTES = hashlib.sha256().digest_size


class ProgramCache(CacheInterface):
    """What JAX asks for compiled programs.

    Args:
        folder: its address.
        shared: the folder above it that all kinds of machines share, and that is bounded; None: the
            folder itself, in which others may keep files of their own.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        folder: str,
        shared: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(folder)  # JAX names it in its log
        self.folder, self._shared = folder, shared
        self._store, self._clock = Store(folder), clock
        self._rests_until: float | None = None
        self._warned = self._swept = False

    def get(self, key: str) -> bytes | None:
        """The program of a key; None where there is none that can be used."""
        entry = self._try(lambda: self._store.read(key + SUFFIX))
        if entry is None:
            return None
        checksum, program = entry[:_CHECKSUM_BYTES], entry[_CHECKSUM_BYTES:]
        if hashlib.sha256(program).digest() != checksum:
            log.warning("%s of %s is damaged; it is compiled again", key + SUFFIX, self.folder)
            return None
        if self._store.is_local:
            with suppress(OSError):  # the least recently used ones go first
                os.utime(self._store.path(key + SUFFIX))
        return program

    def put(self, key: str, value: bytes) -> None:
        """Keep a program. JAX has one only where `get` gave none that it could use: it replaces."""
        entry = hashlib.sha256(value).digest() + value
        self._try(lambda: self._store.write(key + SUFFIX, entry))
        if not self._swept:
            self._swept = True
            in_background(lambda: self._try(self.sweep), "ardm-programs")

    def sweep(self, limit: int = LIMIT) -> None:
        """Remove the programs that were not used for longest, as many as are too many."""
        suffixes = (SUFFIX, *_OLDER_SUFFIXES) if self._shared else (SUFFIX,)
        store = Store(self._shared) if self._shared else self._store
        found = sorted(
            (_moment(info), int(info["size"]), path)
            for path, info in store.fs.find(store.root, detail=True).items()
            if PurePosixPath(path).name.endswith(suffixes)
        )
        excess = sum(size for _, size, _ in found) - limit
        for _, size, path in found:
            if excess <= 0:
                break
            with suppress(FileNotFoundError):  # another process sweeps, too
                store.fs.rm(path)
            excess -= size

    def _try(self, work: Callable[[], T]) -> T | None:
        """Use the store; a fault costs the time to compile, and one warning."""
        if self._rests_until is not None and self._clock() < self._rests_until:
            return None
        try:
            result = work()
        except Exception as error:
            if not of_the_store(error):
                raise
            self._rests_until = self._clock() + REST
            if not self._warned:
                self._warned = True
                log.warning(
                    "compiled programs cannot be kept in %s (%s: %s); they are compiled anew",
                    self.folder, type(error).__name__, error,
                )  # fmt: skip
            return None
        self._rests_until = None
        return result


def _moment(info: dict[str, Any]) -> str:
    """When a file was written or, locally, last read: in order, whatever its file system says."""
    written = info.get("mtime") or info.get("updated") or ""
    return f"{written:020.6f}" if isinstance(written, float) else str(written)

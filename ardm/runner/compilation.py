"""Compiled programs: where they are kept, whom they are shared with, and the time they take."""

import functools
import hashlib
import logging
import os
import platform
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import jax
import jax.monitoring

from ardm.outages import of_the_store
from ardm.runner import _jax
from ardm.runner._jax import CacheInterface
from ardm.runner.environment import cpu_flags
from ardm.store.home import home
from ardm.store.retry import in_background
from ardm.store.run_directory import shared_cache
from ardm.store.store import Store

BACKEND_COMPILE = "/jax/core/compile/backend_compile_duration"
"""JAX's name for a compilation by XLA, or for its reading from the compilation cache."""


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

KIND = "jax-cache"


class CompileTime:
    """Adds up the compilations of this process, whichever thread they are on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        """What JAX calls for every duration that it measures."""
        if event == BACKEND_COMPILE:
            self.seconds += duration_secs


@functools.cache
def compile_time() -> CompileTime:
    """The clock of this process; it runs from the first call on.

    JAX keeps its listeners for the life of the process, so there is one clock, and who wants a span
    takes the difference of two readings.
    """
    clock = CompileTime()
    jax.monitoring.register_event_duration_secs_listener(clock.listen)
    return clock


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


def share_cache(store: Store) -> str:
    """Keep compiled programs in the store, so that the next attempt starts without compiling.

    They are native code, which whoever can write to the store can replace. Training has to trust
    its bucket: a fresh machine has no other place to start from. A directory of this machine that
    another user owns, or anybody can write to, is not trusted.

    Args:
        store: of the run that is trained.

    Returns:
        The folder's address.
    """
    if store.is_local and not _is_ours(Path(store.root)):
        return own_cache()
    return _use(shared_cache(store, KIND))


def own_cache() -> str:
    """Keep compiled programs in `ARDM_HOME`: for all that only reads a store.

    Returns:
        The folder's address.
    """
    return _use(str(home() / KIND))


def _use(shared: str) -> str:
    """Have JAX use a folder for this kind of machine, or what JAX_COMPILATION_CACHE_DIR names.

    JAX's keys hold its version and the program, but for CPUs not the instruction set that a program
    was compiled for.
    """
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    folder = named or f"{shared}/{_machine()}"
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    used = _jax.cache_in_use()
    if not isinstance(used, ProgramCache) or used.folder != folder:
        _jax.use_cache(ProgramCache(folder, None if named else shared))
    return folder


def _is_ours(root: Path) -> bool:
    """Whether what lies in the cache of a local store can only come from this user or its group."""
    folders = [root, *(root / name for name in ("_shared", f"_shared/{KIND}"))]
    existing = [folder.stat() for folder in folders if folder.exists()]
    return all(f.st_uid == os.geteuid() and not f.st_mode & stat.S_IWOTH for f in existing)


def _machine() -> str:
    return f"{platform.machine()}-{hashlib.sha256(cpu_flags().encode()).hexdigest()[:8]}"

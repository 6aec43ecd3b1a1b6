"""The cache of compiled programs, which attempts share, and the measured compile time."""

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
"""JAX's event for a compilation by XLA, or for reading the program from the compilation cache."""

log = logging.getLogger(__name__)

T = TypeVar("T")

LIMIT = 2 * 1024**3
"""Largest size in bytes of all programs in a store, for all kinds of machines together."""

REST = 60.0
"""Seconds for which a cache that failed is not used: each request may take seconds to fail."""

SUFFIX = ".program"

_OLDER_SUFFIXES = ("-cache", "-atime")
"""Suffixes of the files of JAX's own cache, which earlier versions of ardm used."""

_CHECKSUM_BYTES = hashlib.sha256().digest_size

KIND = "jax-cache"


class CompileTime:
    """The total compile time of this process, over all its threads."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        """Called by JAX with every duration in seconds that it measures."""
        if event == BACKEND_COMPILE:
            self.seconds += duration_secs


@functools.cache
def compile_time() -> CompileTime:
    """The compile time of this process, counted from the first call on.

    JAX never drops a listener, so there is one counter for the process; the compile time of a span
    is the difference of two readings.
    """
    clock = CompileTime()
    jax.monitoring.register_event_duration_secs_listener(clock.listen)
    return clock


class ProgramCache(CacheInterface):
    """The compilation cache that JAX uses.

    Args:
        folder: the address of the folder that holds the programs.
        shared: the address of the folder above it, which all kinds of machines share and whose size
            is bounded. None bounds `folder` itself, which may hold files of other programs.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        folder: str,
        shared: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(folder)  # JAX logs this attribute
        self.folder, self._shared = folder, shared
        self._store, self._clock = Store(folder), clock
        self._paused_until: float | None = None
        self._warned = self._swept = False

    def get(self, key: str) -> bytes | None:
        """The program of a key; None if there is no usable one."""
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
        """Write a program. JAX calls this only after `get` returned None: an old entry is bad."""
        entry = hashlib.sha256(value).digest() + value
        self._try(lambda: self._store.write(key + SUFFIX, entry))
        if not self._swept:
            self._swept = True
            in_background(lambda: self._try(self.sweep), "ardm-programs")

    def sweep(self, limit: int = LIMIT) -> None:
        """Remove the least recently used programs, until the rest fit into `limit` bytes."""
        suffixes = (SUFFIX, *_OLDER_SUFFIXES) if self._shared else (SUFFIX,)
        store = Store(self._shared) if self._shared else self._store
        programs = sorted(
            (_last_use(info), int(info["size"]), path)
            for path, info in store.fs.find(store.root, detail=True).items()
            if PurePosixPath(path).name.endswith(suffixes)
        )
        excess = sum(size for _, size, _ in programs) - limit
        for _, size, path in programs:
            if excess <= 0:
                break
            with suppress(FileNotFoundError):  # another process may sweep, too
                store.fs.rm(path)
            excess -= size

    def _try(self, work: Callable[[], T]) -> T | None:
        """Use the store; a fault is logged once, and the program is compiled."""
        if self._paused_until is not None and self._clock() < self._paused_until:
            return None
        try:
            result = work()
        except Exception as error:
            if not of_the_store(error):
                raise
            self._paused_until = self._clock() + REST
            if not self._warned:
                self._warned = True
                log.warning(
                    "compiled programs cannot be kept in %s (%s: %s); they are compiled again",
                    self.folder, type(error).__name__, error,
                )  # fmt: skip
            return None
        self._paused_until = None
        return result


def _last_use(info: dict[str, Any]) -> str:
    """A sortable time: when a file was written or, in a local store, last used."""
    written = info.get("mtime") or info.get("updated") or ""
    return f"{written:020.6f}" if isinstance(written, float) else str(written)


def share_cache(store: Store) -> str:
    """Keep compiled programs in the store, so that the next attempt starts without compiling.

    The programs are native code, which anybody who can write to the store can replace. Training has
    to trust its bucket, since a new machine has no other source. A local directory that another
    user owns, or that anybody can write to, is not trusted; then `ARDM_HOME` is used.

    Args:
        store: the store of the run that is trained.

    Returns:
        The address of the folder.
    """
    if store.is_local and not _is_ours(Path(store.root)):
        return own_cache()
    return _use(shared_cache(store, KIND))


def own_cache() -> str:
    """Keep compiled programs in `ARDM_HOME`, for commands that only read a store.

    Returns:
        The address of the folder.
    """
    return _use(str(home() / KIND))


def _use(shared: str) -> str:
    """Make JAX use a folder for this kind of machine, or the one in JAX_COMPILATION_CACHE_DIR.

    Each kind of machine needs a folder of its own: JAX's keys contain its version and the program,
    but on CPUs not the instruction set for which the program was compiled.
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
    """Whether only this user and its group can have written to the cache of a local store."""
    folders = [root, *(root / name for name in ("_shared", f"_shared/{KIND}"))]
    existing = [folder.stat() for folder in folders if folder.exists()]
    return all(f.st_uid == os.geteuid() and not f.st_mode & stat.S_IWOTH for f in existing)


def _machine() -> str:
    return f"{platform.machine()}-{hashlib.sha256(cpu_flags().encode()).hexdigest()[:8]}"

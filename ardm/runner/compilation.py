"""Which persistent compilation cache this process uses: whom it believes what it executes."""

import hashlib
import os
import platform
import stat
from pathlib import Path

import jax

from ardm.runner import _jax
from ardm.runner.environment import cpu_flags
from ardm.runner.program_cache import ProgramCache
from ardm.store.home import home
from ardm.store.run_directory import shared_cache
from ardm.store.store import Store

KIND = "jax-cache"


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

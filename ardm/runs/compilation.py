"""JAX's persistent compilation cache, shared by every process that uses a store."""

import hashlib
import os
import platform
from pathlib import Path

import jax
from jax._src import distributed

from ardm.runs.layout import shared_cache
from ardm.runs.store import Store


def share_cache(store: Store) -> str:
    """Keep compiled programs in the store, so that the next attempt starts without compiling.

    Where JAX_COMPILATION_CACHE_DIR is set, that place is taken.

    JAX's keys hold its version and the program, but for CPUs not the instruction set that a program
    was compiled for; so each kind of machine has a folder of its own.

    Args:
        store: of the run.

    Returns:
        The folder's address.
    """
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    folder = named or shared_cache(store, f"jax-cache/{_machine()}")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def _machine() -> str:
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"


def write_from_every_process() -> None:
    """Let every process of a group write to the cache, not only the first.

    JAX (0.10 to 0.12) lets process 0 alone write, counting on equal keys; but on CPUs the key holds
    the device's number, so the others would compile at every start. Call it once
    `jax.distributed` is up: only the cache looks at this field then.
    """
    distributed.global_state.process_id = 0

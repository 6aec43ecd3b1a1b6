"""Every private name of JAX that ardm uses, read in JAX 0.10 to 0.12; no other file imports one."""

from functools import partial
from typing import Any

from jax._src import compilation_cache, distributed, xla_bridge
from jax._src.compilation_cache_interface import CacheInterface

READ_IN = "0.10 to 0.12"

__all__ = ["CacheInterface", "cache_in_use", "keep_gloo_at", "use_cache", "write_every_process"]


def cache_in_use() -> Any:
    """The persistent compilation cache of this process; None before one is used."""
    return compilation_cache._cache


def use_cache(cache: CacheInterface) -> None:
    """Use a cache of another kind than the two that JAX has: there is no public way."""
    compilation_cache.reset_cache()
    compilation_cache.get_file_cache = lambda path: (cache, path)


def write_every_process() -> None:
    """Let every process of a group write to the cache, not only the first.

    JAX lets process 0 alone write, counting on equal keys; but on CPUs the key holds the number of
    the device, so the others would compile at every start. Call it once `jax.distributed` is up:
    only the cache looks at this field then.
    """
    distributed.global_state.process_id = 0


def keep_gloo_at(host: str) -> None:
    """Have gloo listen at an address; JAX has it listen where the name of the machine points to."""
    make = partial(xla_bridge._jax.make_gloo_tcp_collectives, hostname=host)
    xla_bridge._jax.make_gloo_tcp_collectives = make

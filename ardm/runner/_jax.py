"""Every private name of JAX that ardm uses, checked in JAX 0.10 to 0.12. No other file does so."""

from functools import partial
from typing import Any

from jax._src import compilation_cache, distributed, xla_bridge
from jax._src.compilation_cache_interface import CacheInterface

READ_IN = "0.10 to 0.12"

__all__ = ["CacheInterface", "cache_in_use", "keep_gloo_at", "use_cache", "write_every_process"]


def cache_in_use() -> Any:
    """The persistent compilation cache of this process; None before its first use."""
    return compilation_cache._cache


def use_cache(cache: CacheInterface) -> None:
    """Use a cache of our own class; JAX has no public way to replace its two classes."""
    compilation_cache.reset_cache()
    compilation_cache.get_file_cache = lambda path: (cache, path)


def write_every_process() -> None:
    """Let every process of a group write to the cache, not only the first.

    JAX lets only process 0 write, since it assumes that all processes have the same keys. But on
    CPUs the key contains the number of the device, so the other processes would compile at every
    start. Call this after `jax.distributed` is initialized: then only the cache reads this field.
    """
    distributed.global_state.process_id = 0


def keep_gloo_at(host: str) -> None:
    """Make gloo listen at an address; JAX makes it listen where the host name resolves to."""
    make = partial(xla_bridge._jax.make_gloo_tcp_collectives, hostname=host)
    xla_bridge._jax.make_gloo_tcp_collectives = make

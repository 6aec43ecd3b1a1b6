"""The workers that train together: one JAX process and one device each."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

MESSAGE_BYTES = 16384
"""Largest size of a message of `exchange`, in bytes."""


@jax.jit
def _stack(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[None], tree)


@runtime_checkable
class Group(Protocol):
    """The workers of a run, and how they communicate."""

    rank: int
    size: int

    def gather(self, tree: Any) -> Any:
        """Gather the trees of all workers, stacked along a new first axis in order of rank.

        Raises:
            jax.errors.JaxRuntimeError: another worker has ended. It is raised here, or when the
                result is used.
        """
        ...

    def exchange(self, message: bytes) -> list[bytes]:
        """Gather the messages of all workers, in the order of the ranks.

        Args:
            message: this worker's message, at most `MESSAGE_BYTES` long.
        """
        ...


class Alone:
    """The group of a single worker."""

    rank = 0
    size = 1

    def gather(self, tree: Any) -> Any:
        return _stack(tree)

    def exchange(self, message: bytes) -> list[bytes]:
        return [message]


class Processes:
    """The processes of `jax.distributed`, which must be initialized."""

    def __init__(self) -> None:
        self.rank = jax.process_index()
        self.size = jax.process_count()
        devices = [jax.local_devices(process_index=i)[0] for i in range(self.size)]
        mesh = Mesh(np.array(devices), ("worker",))
        self._by_worker = NamedSharding(mesh, PartitionSpec("worker"))
        replicated = NamedSharding(mesh, PartitionSpec())
        self._gather: Callable[[Any], Any] = jax.jit(lambda tree: tree, out_shardings=replicated)

    def gather(self, tree: Any) -> Any:
        sharded = jax.tree.map(self._join, _stack(tree))
        try:
            gathered = self._gather(sharded)
        except ValueError as error:
            # JAX (0.10 to 0.12) on CPU raises ValueError if the program fails before its call
            # returns, and JaxRuntimeError if it fails later.
            raise jax.errors.JaxRuntimeError(str(error)) from error
        return jax.tree.map(lambda x: x.addressable_data(0), gathered)

    def exchange(self, message: bytes) -> list[bytes]:
        if len(message) > MESSAGE_BYTES:
            raise ValueError(f"a message of {len(message)} bytes; {MESSAGE_BYTES} is the most")
        padded = np.zeros(MESSAGE_BYTES + 4, np.uint8)
        padded[:4] = np.frombuffer(len(message).to_bytes(4, "big"), np.uint8)
        padded[4 : 4 + len(message)] = np.frombuffer(message, np.uint8)
        rows = np.asarray(self.gather(jnp.asarray(padded)))
        return [row[4 : 4 + int.from_bytes(row[:4].tobytes(), "big")].tobytes() for row in rows]

    def _join(self, shard: jax.Array) -> jax.Array:
        shape = (self.size, *shard.shape[1:])
        return jax.make_array_from_single_device_arrays(shape, self._by_worker, [shard])

"""The workers that train together: one JAX process and one device each."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

MESSAGE_BYTES = 16384


@jax.jit
def _stack(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[None], tree)


@runtime_checkable
class Group(Protocol):
    """What a training step needs to know of the other workers."""

    rank: int
    size: int

    def gather(self, tree: Any) -> Any:
        """Every worker's tree, stacked along a new first axis in the order of the ranks.

        Raises:
            jax.errors.JaxRuntimeError: another worker is gone; here, or when the tree is used.
        """
        ...

    def exchange(self, message: bytes) -> list[bytes]:
        """Every worker's message, in the order of the ranks; each at most `MESSAGE_BYTES` long."""
        ...


class Alone:
    """The group of one."""

    rank = 0
    size = 1

    def gather(self, tree: Any) -> Any:
        return _stack(tree)

    def exchange(self, message: bytes) -> list[bytes]:
        return [message]


class Processes:
    """The processes of `jax.distributed`, which must be initialised."""

    def __init__(self) -> None:
        self.rank = jax.process_index()
        self.size = jax.process_count()
        one_each = [jax.local_devices(process_index=i)[0] for i in range(self.size)]
        mesh = Mesh(np.array(one_each), ("worker",))
        self._spread = NamedSharding(mesh, PartitionSpec("worker"))
        everywhere = NamedSharding(mesh, PartitionSpec())
        self._gather: Callable[[Any], Any] = jax.jit(lambda tree: tree, out_shardings=everywhere)

    def gather(self, tree: Any) -> Any:
        spread = jax.tree.map(self._join, _stack(tree))
        try:
            whole = self._gather(spread)
        except ValueError as error:
            # What JAX (0.10 to 0.12) raises on a CPU if the program fails before its call returns;
            # if it fails later, waiting for the result raises the other.
            raise jax.errors.JaxRuntimeError(str(error)) from error
        return jax.tree.map(lambda x: x.addressable_data(0), whole)

    def exchange(self, message: bytes) -> list[bytes]:
        if len(message) > MESSAGE_BYTES:
            raise ValueError(f"a message of {len(message)} bytes; {MESSAGE_BYTES} is the most")
        padded = np.zeros(MESSAGE_BYTES + 4, np.uint8)
        padded[:4] = np.frombuffer(len(message).to_bytes(4, "big"), np.uint8)
        padded[4 : 4 + len(message)] = np.frombuffer(message, np.uint8)
        rows = np.asarray(self.gather(jnp.asarray(padded)))
        return [row[4 : 4 + int.from_bytes(row[:4].tobytes(), "big")].tobytes() for row in rows]

    def _join(self, mine: jax.Array) -> jax.Array:
        shape = (self.size, *mine.shape[1:])
        return jax.make_array_from_single_device_arrays(shape, self._spread, [mine])

"""The digest of a training state: states with equal digests are equal bit by bit."""

import hashlib
from typing import Any

import jax
import numpy as np


def digest(tree: Any) -> str:
    """SHA-256 over (tree path, dtype, shape, bytes) of every leaf, in the order of the paths.

    Args:
        tree: a pytree of arrays. They are copied from the device, so call this off the training
            thread.

    Returns:
        64 hexadecimal digits.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    total = hashlib.sha256()
    named = (
        (jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves
    )
    for name, leaf in sorted(named, key=lambda item: item[0]):
        array = np.asarray(leaf, order="C")
        total.update(f"{name}|{array.dtype.name}|{array.shape}|".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()

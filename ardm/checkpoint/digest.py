"""What is known of a training state without its model: its digest, and whether it is finite.

States with equal digests are equal bit by bit.
"""

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


def not_finite_part(tree: Any) -> str | None:
    """The name of the first array of a tree that holds a NaN or an infinity; None if none does.

    Args:
        tree: a pytree of arrays on the host.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jax.dtypes.issubdtype(leaf.dtype, np.inexact) and not np.isfinite(leaf).all():
            return jax.tree_util.keystr(path, simple=True, separator="/")
    return None

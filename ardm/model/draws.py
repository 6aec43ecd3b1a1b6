"""Random draws of a training step: generation orders and generation steps.

Example i of step s draws from `fold_in(fold_in(key, s), i)`, with i its index in the global batch,
so that any part of a batch can be drawn alone and no draw depends on history.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Integer, Key

TSampling = Literal["uniform", "antithetic"]

# Stands in place of an example's index for what all examples of a step share; no index is as large.
_SHARED = 2**32 - 1

# Streams of one example, folded into its key.
_ORDER, _TIME, _DROPOUT, _NOISE = 0, 1, 2, 3


def example_keys(
    key: Key[Array, ""], step: int | Integer[Array, ""], index: Integer[Array, " b"]
) -> Key[Array, " b"]:
    """Give every example of a step its own key.

    Args:
        key: of the whole run.
        step: training step.
        index: of the examples in the global batch.

    Returns:
        `fold_in(fold_in(key, step), index)`.
    """
    at_step = jax.random.fold_in(key, step)
    return jax.vmap(lambda i: jax.random.fold_in(at_step, i))(index)


def stream(keys: Key[Array, " b"], number: int | Integer[Array, ""]) -> Key[Array, " b"]:
    """Fold the number of a stream into every key."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def orders(keys: Key[Array, " b"], shape: tuple[int, int, int]) -> Int[Array, "b h w m"]:
    """Draw a generation order per example, uniform over all permutations.

    Args:
        keys: of the examples.
        shape: height, width and mask channels; their product is D.

    Returns:
        sigma, the step at which each dimension is revealed: a permutation of 0 .. D-1.
    """
    size = shape[0] * shape[1] * shape[2]
    permutations = jax.vmap(lambda key: jax.random.permutation(key, size))(stream(keys, _ORDER))
    return permutations.reshape(-1, *shape)


def uniform_times(keys: Key[Array, " b"], steps: int) -> Int[Array, " b"]:
    """Draw a generation step per example, independent and uniform over 0 .. steps-1."""
    draw = jax.vmap(lambda key: jax.random.randint(key, (), 0, steps))
    return draw(stream(keys, _TIME))


def antithetic_times(
    key: Key[Array, ""],
    step: int | Integer[Array, ""],
    index: Integer[Array, " b"],
    batch: int,
    steps: int | Integer[Array, ""],
) -> Int[Array, " b"]:
    """Spread the generation steps of a global batch evenly over 0 .. steps-1.

    `t[i] = (offset + floor(i * steps / batch)) mod steps`, with one `offset` per training step,
    uniform over 0 .. steps-1: every t is uniform by itself, together they form a comb.

    Args:
        key: of the whole run.
        step: training step.
        index: of the examples in the global batch.
        batch: size of the global batch; batch * steps must stay below 2**31.
        steps: number of generation steps.

    Returns:
        t of the examples asked for.
    """
    shared = jax.random.fold_in(jax.random.fold_in(key, step), _SHARED)
    offset = jax.random.randint(shared, (), 0, steps)
    comb = index.astype(jnp.int32) * steps // batch
    return (offset + comb) % steps


def dropout_keys(keys: Key[Array, " b"]) -> Key[Array, " b"]:
    """Give the examples' keys for dropout."""
    return stream(keys, _DROPOUT)


def noise_keys(keys: Key[Array, " b"]) -> Key[Array, " b"]:
    """Give the images' keys for the values that sampling draws."""
    return stream(keys, _NOISE)


def visible(sigma: Int[Array, "b h w m"], t: Int[Array, " b"]) -> Bool[Array, "b h w m"]:
    """Tell the dimensions that are generated before step `t`: the mask, true where visible."""
    return sigma < t[:, None, None, None]


def revealed(
    sigma: Int[Array, "b h w m"], t: Int[Array, " b"], steps: Integer[Array, ""]
) -> Bool[Array, "b h w m"]:
    """Tell the dimensions that are generated at step `t` and the ones after it, `steps` in all."""
    return visible(sigma, t + steps) & ~visible(sigma, t)

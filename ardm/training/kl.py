"""The KL tracker: a running mean of the negative log-likelihood of each generation step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

DECAY = 0.98
"""Decay of the running mean of a generation step, once that step has been seen often."""


class KLTracker(NamedTuple):
    """Running estimate of L[t], the expected negative log-likelihood of one dimension at step t."""

    nats: Float[Array, " steps"]
    hits: Int[Array, " steps"]
    """Number of batches in which each step occurred."""


def init(steps: int, choices: int) -> KLTracker:
    """A tracker before the first batch: L[t] is `ln choices`, that of a uniform guess.

    Args:
        steps: number of generation steps, D for an order-agnostic model.
        choices: number of values that a dimension can take when it is generated, K for a
            categorical output.
    """
    return KLTracker(
        jnp.full(steps, np.log(choices), jnp.float32),
        jnp.zeros(steps, jnp.int32),
    )


def update(
    tracker: KLTracker, t: Int[Array, " batch"], nll_per_dim: Float[Array, " batch"]
) -> KLTracker:
    """The tracker after one batch.

    Args:
        tracker: the tracker before the batch.
        t: generation step of each example.
        nll_per_dim: estimate of L[t] from each example, in nats.

    Returns:
        The tracker. At the n-th batch in which a step occurs, the batch's mean for that step has
        the weight `max(1/n, 1 - DECAY)`.
    """
    steps = tracker.nats.shape[0]
    # A product with one-hot rows sums in a fixed order; a scatter-add on a GPU does not. By default
    # a GPU would compute the product in TF32, whose mantissa has ten bits.
    hit = jax.nn.one_hot(t, steps, dtype=jnp.float32)
    count = hit.sum(axis=0)
    total = jnp.matmul(nll_per_dim, hit, precision=jax.lax.Precision.HIGHEST)
    mean = total / jnp.maximum(count, 1.0)
    hits = tracker.hits + (count > 0)
    weight = jnp.maximum(1.0 / jnp.maximum(hits, 1), 1.0 - DECAY)
    nats = jnp.where(count > 0, tracker.nats + weight * (mean - tracker.nats), tracker.nats)
    return KLTracker(nats.astype(jnp.float32), hits.astype(jnp.int32))

"""The KL tracker: a running mean of the negative log-likelihood of each generation step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

DECAY = 0.98


class KLTracker(NamedTuple):
    """Running estimate of L[t], the expected negative log-likelihood of one dimension at step t."""

    nats: Float[Array, " steps"]
    hits: Int[Array, " steps"]


def init(steps: int, choices: int) -> KLTracker:
    """A tracker that has seen nothing: every step counts as `ln choices`, a blind guess.

    Args:
        steps: generation steps, D for an order-agnostic model.
        choices: values that a dimension can take at its step, K for a categorical output.
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
        tracker: before the batch.
        t: generation step of each example.
        nll_per_dim: its estimate of L[t], in nats.

    Returns:
        The tracker; a step met for the n-th time weighs the news by `max(1/n, 1 - DECAY)`.
    """
    steps = tracker.nats.shape[0]
    # A product with one-hot rows sums in a fixed order; a scatter-add on a GPU does not. There
    # the usual precision of a product would be TF32's ten bits.
    hit = jax.nn.one_hot(t, steps, dtype=jnp.float32)
    count = hit.sum(axis=0)
    total = jnp.matmul(nll_per_dim, hit, precision=jax.lax.Precision.HIGHEST)
    mean = total / jnp.maximum(count, 1.0)
    hits = tracker.hits + (count > 0)
    weight = jnp.maximum(1.0 / jnp.maximum(hits, 1), 1.0 - DECAY)
    nats = jnp.where(count > 0, tracker.nats + weight * (mean - tracker.nats), tracker.nats)
    return KLTracker(nats.astype(jnp.float32), hits.astype(jnp.int32))

"""The discretised logistic distribution, of which the mixtures are made.

The classes 0 .. K-1 lie evenly on [-1, 1]. Class k has the probability that a logistic variable
falls into the bin of half-width 1 / (K - 1) around it; the two edge bins reach to infinity, so that
the probabilities sum to one.
"""

from math import log

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

SHARPEST = 10.0
"""Scales in the half-width of a bin, at most: an inner class can then have P = tanh(5) = 0.9999.

The least scale follows K. One that is the same for all K would keep every class of 16-bit audio
below P = 0.01. That of PixelCNN++, exp(-7), keeps a class of 8 bits below 0.973.
"""

# A wider logistic has all its mass in the two edge bins, and the inner ones vanish in float32.
_HIGHEST_LOG_SCALE = 20.0


def level(x: Integer[Array, "..."], classes: int) -> Float[Array, "..."]:
    """Place the classes 0 .. K-1 evenly on [-1, 1], float32."""
    return x.astype(jnp.float32) * (2.0 / (classes - 1)) - 1.0


def bounded(log_scale: Float[Array, "..."], classes: int) -> Float[Array, "..."]:
    """Clip log-scales to where every class keeps a probability and a gradient in float32.

    Args:
        log_scale: on the scale of `level`.
        classes: K.
    """
    return jnp.clip(log_scale, -log(SHARPEST * (classes - 1)), _HIGHEST_LOG_SCALE)


def bin_log_prob(
    x: Integer[Array, "..."],
    mean: Float[Array, "..."],
    log_scale: Float[Array, "..."],
    classes: int,
) -> Float[Array, "..."]:
    """Log-probability of the classes `x`; the three arrays broadcast.

    Args:
        x: classes 0 .. K-1.
        mean: of the logistic, on the scale of `level`.
        log_scale: of the logistic, bounded.
        classes: K.

    Returns:
        Nats. An inner bin from a to b in units of the scale has probability
        `sigmoid(b) sigmoid(-a) (1 - exp(a - b))`: a product, exact where the difference
        `sigmoid(b) - sigmoid(a)` would vanish, with a gradient that is finite everywhere.
    """
    # In units of bins, whose ends are exact, so that neighbors meet: on [-1, 1] those of 65,536
    # classes would be off by up to a tenth of the least scale.
    half_range = 0.5 * (classes - 1)
    per_bin = jnp.exp(-log_scale) / half_range
    centred = x.astype(jnp.float32) - (mean + 1.0) * half_range
    below_upper = jax.nn.log_sigmoid((centred + 0.5) * per_bin)
    above_lower = jax.nn.log_sigmoid((0.5 - centred) * per_bin)
    inner = below_upper + above_lower + jnp.log(-jnp.expm1(-per_bin))
    return jnp.where(x == 0, below_upper, jnp.where(x == classes - 1, above_lower, inner))


def draw(
    mean: Float[Array, "..."],
    log_scale: Float[Array, "..."],
    noise: Float[Array, "..."],
    temperature: Float[Array, ""],
    classes: int,
) -> Integer[Array, "..."]:
    """Draw classes by inversion of the distribution function; the first three arrays broadcast.

    Args:
        mean: of the logistic, on the scale of `level`.
        log_scale: of the logistic, bounded.
        noise: uniform on [0, 1).
        temperature: multiplies the scale.
        classes: K.

    Returns:
        Classes 0 .. K-1, int32.
    """
    # At 0 the logit is minus infinity, which is clipped to class 0 like all that is far below.
    value = mean + temperature * jnp.exp(log_scale) * jax.scipy.special.logit(noise)
    nearest = jnp.round((value + 1.0) * (0.5 * (classes - 1)))
    return jnp.clip(nearest, 0, classes - 1).astype(jnp.int32)


def choose(
    logits: Float[Array, "*dims m"], noise: Float[Array, "*dims"], temperature: Float[Array, ""]
) -> Integer[Array, "*dims"]:
    """Draw a component of a mixture by inversion.

    Args:
        logits: of the components.
        noise: uniform on [0, 1).
        temperature: divides the logits.

    Returns:
        Indices of components, int32.
    """
    below = jnp.cumsum(jax.nn.softmax(logits / temperature, axis=-1), axis=-1)
    # Scaled by the last sum, which rounding may leave off 1: a component must always be found.
    reached = noise[..., None] * below[..., -1:] >= below
    return jnp.minimum(reached.sum(axis=-1, dtype=jnp.int32), logits.shape[-1] - 1)

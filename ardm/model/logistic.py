"""The discretized logistic distribution, and the mixture of them."""

from dataclasses import dataclass
from math import log

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key, UInt8

SHARPEST = 10.0
"""Scales in the half-width of a bin, at most: an inner class can then have P = tanh(5) = 0.9999.

The least scale follows K. One that is the same for all K would keep every class of 16-bit audio
below P = 0.01. That of PixelCNN++, exp(-7), keeps a class of 8 bits below 0.973.
"""

# A wider logistic has all its mass in the two edge bins, and the inner ones vanish in float32.
_HIGHEST_LOG_SCALE = 20.0


Parameters = Float[Array, "b h w rows m"]
"""Along f: the logits of the components, C rows of means, C rows of log-scales."""


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


@dataclass(frozen=True)
class LogisticMixture:
    """A mixture of M logistics over K ordered classes, for every dimension of an image.

    The channels of a pixel share the weights of the components and are independent otherwise: each
    is generated on its own (PixelCNN++, arXiv 1701.05517, section 2.1, without its dependence
    between channels).

    Attributes:
        channels: channels of the image, C.
        classes: K.
        components: M.
    """

    channels: int
    classes: int
    components: int

    @property
    def mask_channels(self) -> int:
        """Channels of the mask: every channel of a pixel is generated on its own."""
        return self.channels

    @property
    def features(self) -> int:
        """How many numbers per pixel describe the distribution: (1 + 2 C) M."""
        return (1 + 2 * self.channels) * self.components

    def parameters(self, features: Float[Array, "b h w f"]) -> Parameters:
        """Arrange the network's outputs as rows of M numbers."""
        rows = 1 + 2 * self.channels
        return features.reshape(*features.shape[:3], rows, self.components).astype(jnp.float32)

    def log_prob(
        self, parameters: Parameters, x: Integer[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        """Log-probability of the values `x`, in nats, float32."""
        logits, means, log_scales = self._rows(parameters)
        inside = bin_log_prob(x[..., None], means, log_scales, self.classes)
        return jax.nn.logsumexp(jax.nn.log_softmax(logits, axis=-1) + inside, axis=-1)

    def noise(self, key: Key[Array, ""], height: int, width: int) -> Float[Array, "h w n"]:
        """Draw the randomness of one image: two numbers on [0, 1) per dimension."""
        return jax.random.uniform(key, (height, width, 2 * self.channels), jnp.float32)

    def draw(
        self,
        parameters: Parameters,
        noise: Float[Array, "b h w n"],
        temperature: Float[Array, ""],
    ) -> UInt8[Array, "b h w c"]:
        """Draw every dimension independently: a component, then a value of it.

        Args:
            parameters: of every dimension.
            noise: uniform on [0, 1), two numbers per dimension.
            temperature: divides the logits of the components and multiplies their scales; 1 draws
                from the model.

        Returns:
            Classes 0 .. K-1.
        """
        logits, means, log_scales = self._rows(parameters)
        which, where = jnp.split(noise, 2, axis=-1)
        logits = jnp.broadcast_to(logits, means.shape)
        chosen = choose(logits, which, temperature)[..., None]
        mean = jnp.take_along_axis(means, chosen, axis=-1)[..., 0]
        log_scale = jnp.take_along_axis(log_scales, chosen, axis=-1)[..., 0]
        drawn = draw(mean, log_scale, where, temperature, self.classes)
        return drawn.astype(jnp.uint8)

    def _rows(
        self, parameters: Parameters
    ) -> tuple[Float[Array, "b h w 1 m"], Float[Array, "b h w c m"], Float[Array, "b h w c m"]]:
        first = 1 + self.channels
        log_scales = bounded(parameters[..., first:, :], self.classes)
        return parameters[..., :1, :], parameters[..., 1:first, :], log_scales

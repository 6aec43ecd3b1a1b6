"""The discretized logistic distribution, and mixtures of it."""

from dataclasses import dataclass
from math import log

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer, Key, UInt

from ardm.model.output import value_type

SHARPEST = 10.0
"""Largest ratio of half the width of a bin to the scale of a logistic. At 10, the probability of an
inner class can reach tanh(5) = 0.9999.

So the least scale depends on K. With one least scale for all K, no class of 16-bit audio could have
a probability above 0.01. The least scale of PixelCNN++, exp(-7), limits a class of 8 bits to 0.973.
"""

# The mass of a wider logistic is in the two edge bins; those of inner bins would vanish in float32.
_HIGHEST_LOG_SCALE = 20.0


Parameters = Float[Array, "b h w rows m"]
"""Rows of M numbers: the logits of the components, C rows of means, C rows of log-scales."""


def level(x: Integer[Array, "..."], classes: int) -> Float[Array, "..."]:
    """Map the classes 0 .. K-1 to evenly spaced numbers on [-1, 1], float32."""
    return x.astype(jnp.float32) * (2.0 / (classes - 1)) - 1.0


def bounded(log_scale: Float[Array, "..."], classes: int) -> Float[Array, "..."]:
    """Clip log-scales to the range in which all probabilities and gradients are finite in float32.

    Args:
        log_scale: natural logarithms of scales, in the units of `level`.
        classes: K.
    """
    return jnp.clip(log_scale, -log(SHARPEST * (classes - 1)), _HIGHEST_LOG_SCALE)


def bin_log_prob(
    x: Integer[Array, "..."],
    mean: Float[Array, "..."],
    log_scale: Float[Array, "..."],
    classes: int,
) -> Float[Array, "..."]:
    """Log-probability of the classes `x` under a logistic; the three arrays broadcast.

    Args:
        x: classes 0 .. K-1.
        mean: mean of the logistic, in the units of `level`.
        log_scale: log-scale of the logistic, as `bounded` returns it.
        classes: K.

    Returns:
        Log-probabilities in nats. An inner bin from a to b in units of the scale has probability
        `sigmoid(b) sigmoid(-a) (1 - exp(a - b))`: a product, exact where the difference
        `sigmoid(b) - sigmoid(a)` would vanish, with a gradient that is finite everywhere.
    """
    # In units of bins the ends of the bins are exact, so neighboring bins meet. On [-1, 1] the ends
    # of 65,536 bins would be off by up to a tenth of the least scale.
    half_range = 0.5 * (classes - 1)
    per_bin = jnp.exp(-log_scale) / half_range
    centered = x.astype(jnp.float32) - (mean + 1.0) * half_range
    below_upper = jax.nn.log_sigmoid((centered + 0.5) * per_bin)
    above_lower = jax.nn.log_sigmoid((0.5 - centered) * per_bin)
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
        mean: mean of the logistic, in the units of `level`.
        log_scale: log-scale of the logistic, as `bounded` returns it.
        noise: uniform random numbers on [0, 1).
        temperature: number that multiplies the scale.
        classes: K.

    Returns:
        Classes 0 .. K-1, int32.
    """
    # The logit of 0 is minus infinity, which is clipped to class 0.
    value = mean + temperature * jnp.exp(log_scale) * jax.scipy.special.logit(noise)
    nearest = jnp.round((value + 1.0) * (0.5 * (classes - 1)))
    return jnp.clip(nearest, 0, classes - 1).astype(jnp.int32)


def choose(
    logits: Float[Array, "*dims m"], noise: Float[Array, "*dims"], temperature: Float[Array, ""]
) -> Integer[Array, "*dims"]:
    """Draw a component of a mixture by inversion.

    Args:
        logits: logits of the components.
        noise: uniform random numbers on [0, 1).
        temperature: number that divides the logits.

    Returns:
        Indices of components, int32.
    """
    below = jnp.cumsum(jax.nn.softmax(logits / temperature, axis=-1), axis=-1)
    # Rounding can make the last sum differ from 1; the scaling ensures that a component is found.
    reached = noise[..., None] * below[..., -1:] >= below
    return jnp.minimum(reached.sum(axis=-1, dtype=jnp.int32), logits.shape[-1] - 1)


@dataclass(frozen=True)
class LogisticMixture:
    """A mixture of M logistics over K ordered classes, for every dimension of an image.

    The channels of a pixel share the weights of the components, and are generated one by one. This
    is the mixture of PixelCNN++ (arXiv 1701.05517, section 2.1) without the dependence between
    channels.

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
        """The number of parameters per pixel: (1 + 2 C) M."""
        return (1 + 2 * self.channels) * self.components

    def parameters(self, features: Float[Array, "b h w f"]) -> Parameters:
        """Reshape the network's outputs into rows of M numbers."""
        rows = 1 + 2 * self.channels
        return features.reshape(*features.shape[:3], rows, self.components).astype(jnp.float32)

    def log_prob(
        self, parameters: Parameters, x: Integer[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        """Log-probability of the values `x`, in nats, float32."""
        logits, means, log_scales = self._rows(parameters)
        inside = bin_log_prob(x[..., None], means, log_scales, self.classes)
        return jax.nn.logsumexp(jax.nn.log_softmax(logits, axis=-1) + inside, axis=-1)

    def class_log_prob(
        self,
        parameters: Parameters,
        x: Integer[Array, "b h w c"],
        dims: Int[Array, "b n"],
        part: int,
    ) -> Float[Array, "b n k"]:
        """Log-probabilities of all classes of some dimensions."""
        logits, means, log_scales = self._rows(parameters)
        weights = jnp.broadcast_to(jax.nn.log_softmax(logits, axis=-1), means.shape)
        weight, mean, log_scale = (
            jnp.take_along_axis(v.reshape(len(v), -1, self.components), dims[..., None], axis=1)
            for v in (weights, means, log_scales)
        )
        x = jnp.arange(self.classes)[:, None]
        inside = bin_log_prob(x, mean[..., None, :], log_scale[..., None, :], self.classes)
        return jax.nn.logsumexp(weight[..., None, :] + inside, axis=-1)

    def noise(self, key: Key[Array, ""], height: int, width: int) -> Float[Array, "h w n"]:
        """Draw the random numbers for one image: two per dimension, uniform on [0, 1)."""
        return jax.random.uniform(key, (height, width, 2 * self.channels), jnp.float32)

    def draw(
        self,
        parameters: Parameters,
        noise: Float[Array, "b h w n"],
        temperature: Float[Array, ""],
    ) -> UInt[Array, "b h w c"]:
        """Draw every dimension independently: first a component, then a value from it.

        Args:
            parameters: parameters of the mixtures.
            noise: uniform random numbers on [0, 1), two per dimension.
            temperature: number that divides the logits of the components and multiplies their
                scales; at 1 the values follow the model.

        Returns:
            Classes 0 .. K-1.
        """
        logits, means, log_scales = self._rows(parameters)
        component_noise, value_noise = jnp.split(noise, 2, axis=-1)
        logits = jnp.broadcast_to(logits, means.shape)
        chosen = choose(logits, component_noise, temperature)[..., None]
        mean = jnp.take_along_axis(means, chosen, axis=-1)[..., 0]
        log_scale = jnp.take_along_axis(log_scales, chosen, axis=-1)[..., 0]
        drawn = draw(mean, log_scale, value_noise, temperature, self.classes)
        return drawn.astype(value_type(self.classes))

    def _rows(
        self, parameters: Parameters
    ) -> tuple[Float[Array, "b h w 1 m"], Float[Array, "b h w c m"], Float[Array, "b h w c m"]]:
        first = 1 + self.channels
        log_scales = bounded(parameters[..., first:, :], self.classes)
        return parameters[..., :1, :], parameters[..., 1:first, :], log_scales

"""A mixture for color images that generates the three channels of a pixel together."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer, Key, UInt

from ardm.model import logistic
from ardm.model.output import value_type

Parameters = Float[Array, "b h w 10 m"]
"""Rows: logits of the components, means of R, G, B, log-scales of R, G, B, and the coefficients
R -> G, R -> B, G -> B before their tanh."""

# For each channel, the rows of the coefficients by which earlier channels shift its mean.
_COEFFICIENTS: tuple[tuple[int, ...], ...] = ((), (7,), (8, 9))


@dataclass(frozen=True)
class RGBMixture:
    """A mixture of M components over all colors of a pixel, with one mask entry per pixel.

    In a component each channel is a discretized logistic. The mean of green depends linearly on the
    pixel's red, the mean of blue on its red and green (PixelCNN++, arXiv 1701.05517, section 2.2).

    Attributes:
        classes: K, the number of classes of one channel.
        components: M, the number of components.
    """

    classes: int
    components: int

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return 3

    @property
    def mask_channels(self) -> int:
        """Channels of the mask: the pixel is generated as a whole."""
        return 1

    @property
    def features(self) -> int:
        """The number of parameters per pixel: 10 M."""
        return 10 * self.components

    def parameters(self, features: Float[Array, "b h w f"]) -> Parameters:
        """Reshape the network's outputs into ten rows of M numbers."""
        return features.reshape(*features.shape[:3], 10, self.components).astype(jnp.float32)

    def log_prob(
        self, parameters: Parameters, x: Integer[Array, "b h w 3"]
    ) -> Float[Array, "b h w 1"]:
        """Log-probability of the color of each pixel, in nats, float32."""
        total = jax.nn.log_softmax(parameters[..., 0, :], axis=-1)
        for channel in range(3):
            mean, log_scale = _conditional(
                parameters, channel, logistic.level(x, self.classes), self.classes
            )
            here = x[..., channel, None]
            total = total + logistic.bin_log_prob(here, mean, log_scale, self.classes)
        return jax.nn.logsumexp(total, axis=-1, keepdims=True)

    def class_log_prob(
        self,
        parameters: Parameters,
        x: Integer[Array, "b h w 3"],
        dims: Int[Array, "b n"],
        part: int,
    ) -> Float[Array, "b n k"]:
        """Log-probabilities of all classes of a channel of some pixels, given earlier channels."""
        flat = parameters.reshape(len(parameters), -1, 1, 10, self.components)
        at = jnp.take_along_axis(flat, dims[:, :, None, None, None], axis=1)
        pixels = jnp.take_along_axis(x.reshape(len(x), -1, 1, 3), dims[:, :, None, None], axis=1)
        level = logistic.level(pixels, self.classes)
        total = jax.nn.log_softmax(at[..., 0, :], axis=-1)[..., None, :]
        for channel in range(part + 1):
            mean, log_scale = _conditional(at, channel, level, self.classes)
            values = pixels[..., channel, None, None]
            if channel == part:
                values = jnp.arange(self.classes)[:, None]
            inside = logistic.bin_log_prob(
                values, mean[..., None, :], log_scale[..., None, :], self.classes
            )
            total = total + inside
        return jax.nn.logsumexp(total, axis=-1)[:, :, 0]

    def noise(self, key: Key[Array, ""], height: int, width: int) -> Float[Array, "h w 4"]:
        """Draw the random numbers for one image: four per pixel, uniform on [0, 1)."""
        return jax.random.uniform(key, (height, width, 4), jnp.float32)

    def draw(
        self,
        parameters: Parameters,
        noise: Float[Array, "b h w 4"],
        temperature: Float[Array, ""],
    ) -> UInt[Array, "b h w 3"]:
        """Draw every pixel independently: a component, then red, green and blue.

        Args:
            parameters: parameters of the mixture of every pixel.
            noise: uniform random numbers on [0, 1), four per pixel.
            temperature: number that divides the logits of the components and multiplies their
                scales; at 1 the values follow the model.

        Returns:
            Classes 0 .. K-1.
        """
        chosen = logistic.choose(parameters[..., 0, :], noise[..., 0], temperature)
        # Parameters of the chosen component alone, so M is 1 from here on.
        component = jnp.take_along_axis(parameters, chosen[..., None, None], axis=-1)
        x = jnp.zeros((*chosen.shape, 3), jnp.int32)
        for channel in range(3):
            mean, log_scale = _conditional(
                component, channel, logistic.level(x, self.classes), self.classes
            )
            value_noise = noise[..., 1 + channel, None]
            drawn = logistic.draw(mean, log_scale, value_noise, temperature, self.classes)
            x = x.at[..., channel].set(drawn[..., 0])
        return x.astype(value_type(self.classes))


def _conditional(
    parameters: Parameters, channel: int, level: Float[Array, "b h w 3"], classes: int
) -> tuple[Float[Array, "b h w m"], Float[Array, "b h w m"]]:
    """Mean and log-scale of a channel in each component, given the values of earlier channels."""
    mean = parameters[..., 1 + channel, :]
    for before, row in enumerate(_COEFFICIENTS[channel]):
        mean = mean + jnp.tanh(parameters[..., row, :]) * level[..., before, None]
    return mean, logistic.bounded(parameters[..., 4 + channel, :], classes)

"""The discretised logistic mixture: few numbers per dimension, however many classes."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key, UInt8

from ardm.model import logistic

Parameters = Float[Array, "b h w rows m"]
"""Along f: the logits of the components, C rows of means, C rows of log-scales."""


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
        inside = logistic.bin_log_prob(x[..., None], means, log_scales, self.classes)
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
        chosen = logistic.choose(logits, which, temperature)[..., None]
        mean = jnp.take_along_axis(means, chosen, axis=-1)[..., 0]
        log_scale = jnp.take_along_axis(log_scales, chosen, axis=-1)[..., 0]
        drawn = logistic.draw(mean, log_scale, where, temperature, self.classes)
        return drawn.astype(jnp.uint8)

    def _rows(
        self, parameters: Parameters
    ) -> tuple[Float[Array, "b h w 1 m"], Float[Array, "b h w c m"], Float[Array, "b h w c m"]]:
        first = 1 + self.channels
        log_scales = logistic.bounded(parameters[..., first:, :], self.classes)
        return parameters[..., :1, :], parameters[..., 1:first, :], log_scales

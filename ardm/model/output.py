"""The interface of output distributions, and the categorical one."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key, UInt

Logits = Float[Array, "b h w c k"]


def value_type(classes: int) -> type[np.unsignedinteger[Any]]:
    """The smallest type that holds the values 0 .. K-1, K being at most 65,536."""
    return np.uint8 if classes <= 256 else np.uint16


@runtime_checkable
class Output(Protocol):
    """The distribution of the values that one entry of the mask hides, given the visible values.

    Implementations are immutable and hashable, and hold no arrays.
    """

    @property
    def channels(self) -> int:
        """Channels of the image."""

    @property
    def classes(self) -> int:
        """K, the classes of one channel."""

    @property
    def mask_channels(self) -> int:
        """Channels of the mask: 1 if all channels of a pixel are generated together."""

    @property
    def features(self) -> int:
        """The number of parameters per pixel."""

    def parameters(self, features: Float[Array, "b h w f"]) -> Float[Array, "b h w ..."]:
        """Reshape the network's outputs into parameters of the distribution."""

    def log_prob(
        self, parameters: Float[Array, "b h w ..."], x: Integer[Array, "b h w c"]
    ) -> Float[Array, "b h w m"]:
        """Log-probability of the values of `x` at each entry of the mask, in nats, float32."""

    def class_log_prob(
        self,
        parameters: Float[Array, "b h w ..."],
        x: Integer[Array, "b h w c"],
        dims: Int[Array, "b n"],
        part: int,
    ) -> Float[Array, "b n k"]:
        """Log-probabilities of all classes of single values, in nats, not necessarily normalized.

        Args:
            parameters: parameters of the distribution.
            x: images; of an entry of the mask only the values before `part` are used.
            dims: which entries of the mask, 0 .. D-1.
            part: which of the values that an entry hides.
        """

    def noise(self, key: Key[Array, ""], height: int, width: int) -> Float[Array, "h w n"]:
        """Draw the random numbers that `draw` needs for one image, uniform on [0, 1)."""

    def draw(
        self,
        parameters: Float[Array, "b h w ..."],
        noise: Float[Array, "b h w n"],
        temperature: Float[Array, ""],
    ) -> UInt[Array, "b h w c"]:
        """Draw all values, independently per mask entry; at temperature 1 they follow the model."""


@dataclass(frozen=True)
class Categorical:
    """A distribution over K classes for every dimension of an image.

    Attributes:
        channels: channels of the image.
        classes: K.
    """

    channels: int
    classes: int

    @property
    def mask_channels(self) -> int:
        """Channels of the mask: every channel of a pixel is generated on its own."""
        return self.channels

    @property
    def features(self) -> int:
        """The number of parameters per pixel."""
        return self.channels * self.classes

    def parameters(self, features: Float[Array, "b h w f"]) -> Logits:
        """Reshape the network's outputs into logits."""
        return features.reshape(*features.shape[:3], self.channels, self.classes)

    def log_prob(self, logits: Logits, x: Integer[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Log-probability of the values `x`, in nats, float32."""
        log_p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
        return jnp.take_along_axis(log_p, x[..., None].astype(jnp.int32), axis=-1)[..., 0]

    def class_log_prob(
        self, logits: Logits, x: Integer[Array, "b h w c"], dims: Int[Array, "b n"], part: int
    ) -> Float[Array, "b n k"]:
        """Log-probabilities of all classes of some dimensions: their logits."""
        flat = logits.reshape(len(logits), -1, self.classes)
        return jnp.take_along_axis(flat, dims[..., None], axis=1).astype(jnp.float32)

    def noise(self, key: Key[Array, ""], height: int, width: int) -> Float[Array, "h w c"]:
        """Draw the random numbers that `draw` needs for one image, uniform on [0, 1)."""
        return jax.random.uniform(key, (height, width, self.channels), jnp.float32)

    def draw(
        self, logits: Logits, noise: Float[Array, "b h w c"], temperature: Float[Array, ""]
    ) -> UInt[Array, "b h w c"]:
        """Draw every dimension independently, by inversion of the distribution function.

        Args:
            logits: logits of every dimension.
            noise: uniform random numbers on [0, 1), one per dimension.
            temperature: number that divides the logits; at 1 the values follow the model.

        Returns:
            Classes 0 .. K-1.
        """
        p = jax.nn.softmax(logits.astype(jnp.float32) / temperature, axis=-1)
        below = jnp.cumsum(p, axis=-1)
        # Rounding can make the last sum differ from 1; the scaling ensures that a class is found.
        reached = noise[..., None] * below[..., -1:] >= below
        chosen = jnp.minimum(reached.sum(axis=-1), self.classes - 1)
        return chosen.astype(value_type(self.classes))

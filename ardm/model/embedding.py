"""The first layer of a network for images: visible values, mask and class embedding."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Integer

from ardm.model.patches import join


class ImageEmbedding(nnx.Module):
    """Turns visible pixel values and the mask into the first features.

    Three quarters of the features are a 3x3 convolution of the normalised values (the lowest
    class is -1, the highest +1, hidden is 0) and the mask; one quarter is a projection of the
    classes' embeddings. A hidden dimension embeds to the zero vector, not to a class of its own:
    for binary pixels it is a third state all the same, and the table keeps K rows. Patches of
    pixels are joined before the first convolution.
    """

    def __init__(
        self,
        channels: int,
        mask_channels: int,
        classes: int,
        features: int,
        *,
        patch: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.classes, self.patch, self.dtype = classes, patch, dtype
        quarter, area = features // 4, patch**2
        self.conv = nnx.Conv(
            area * (channels + mask_channels), features - quarter, (3, 3), dtype=dtype, rngs=rngs
        )
        self.table = nnx.Embed(classes, quarter, dtype=dtype, rngs=rngs)
        self.project = nnx.Linear(area * channels * quarter, quarter, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Integer[Array, "b h w c"],
        mask: Bool[Array, "b h w m"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b hh ww f"]:
        """Embed the values `x` (0 .. K-1) where `mask` shows them, alike at every step `t`.

        The other values are not looked at.
        """
        visible = mask.astype(self.dtype)
        value = (x.astype(jnp.float32) * (2.0 / (self.classes - 1)) - 1.0).astype(self.dtype)
        signal = jnp.concatenate([value * visible, visible], axis=-1)
        one_hot = jax.nn.one_hot(x, self.classes, dtype=self.dtype) * visible[..., None]
        embedded = one_hot @ self.table.embedding.astype(self.dtype)
        embedded = embedded.reshape(*x.shape[:3], -1)
        value_features = self.conv(join(signal, self.patch))
        class_features = self.project(join(embedded, self.patch))
        return jnp.concatenate([value_features, class_features], axis=-1)

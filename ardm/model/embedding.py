"""The first layer of a network: it sees the values, the mask, the class and the stage."""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Integer, Shaped

from ardm.model.coarsening import Coarsening
from ardm.model.layers import TimeEmbedding
from ardm.model.logistic import level


def join(x: Shaped[Array, "b h w c"], side: int) -> Shaped[Array, "b hh ww cc"]:
    """Make each patch of `side` x `side` pixels one position, with the pixels' channels abreast.

    Args:
        x: height and width divisible by `side`.
        side: of a patch.

    Returns:
        Shape b, h / side, w / side, side * side * c.
    """
    return rearrange(x, "b (h i) (w j) c -> b h w (i j c)", i=side, j=side)


def separate(x: Shaped[Array, "b h w c"], side: int) -> Shaped[Array, "b hh ww cc"]:
    """Undo `join`: make every position a patch of `side` x `side` pixels.

    Args:
        x: channels divisible by `side` * `side`.
        side: of a patch.

    Returns:
        Shape b, h * side, w * side, c / (side * side).
    """
    return rearrange(x, "b h w (i j c) -> b (h i) (w j) c", i=side, j=side)


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


class UpscaleEmbedding(nnx.Module):
    """Turns the values before and after a stage and the mask into the first features.

    The value before the stage is known everywhere; where the mask is, the value after it takes its
    place. Three quarters of the features are a 3x3 convolution of both, normalised, and the mask;
    one quarter is a projection of the embeddings of both. With `augment` the coarse values of each
    resolution have embeddings of their own; otherwise they are classes among the others. Whatever
    is finer than the mask allows is cut off here, so that no network can see it.

    Args:
        coarsening: the stages of a value.
        dims: D, the steps of one stage.
        channels: channels of the image.
        features: how many to give.
        augment: whether coarse values are classes of their own.
        patch: side of the square of pixels that is one position.
        dtype: type of the computations; parameters are float32.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        coarsening: Coarsening,
        dims: int,
        channels: int,
        features: int,
        *,
        augment: bool,
        patch: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.coarsening, self.dims, self.augment = coarsening, dims, augment
        self.patch, self.dtype = patch, dtype
        quarter, area = features // 4, patch**2
        self.rows = coarsening.identities if augment else coarsening.classes
        self.conv = nnx.Conv(
            area * 3 * channels, features - quarter, (3, 3), dtype=dtype, rngs=rngs
        )
        self.table = nnx.Embed(self.rows, quarter, dtype=dtype, rngs=rngs)
        self.project = nnx.Linear(area * 2 * channels * quarter, quarter, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Integer[Array, "b h w c"],
        mask: Bool[Array, "b h w c"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b hh ww f"]:
        """Embed the values at step t of the whole generation.

        Args:
            x: values 0 .. K-1; of hidden dimensions the digits of earlier stages are looked at, of
                visible ones that of this stage too.
            mask: true where a dimension holds its value after the stage.
            t: 0 .. S D - 1.
        """
        before = (self.coarsening.stages - t // self.dims)[:, None, None, None]
        resolutions = (jnp.where(mask, before - 1, before), jnp.broadcast_to(before, x.shape))
        known = [self.coarsening.coarse(x, resolution) for resolution in resolutions]
        signal = [level(value, self.coarsening.classes).astype(self.dtype) for value in known]
        conv = self.conv(join(jnp.concatenate([*signal, mask.astype(self.dtype)], -1), self.patch))
        classes = [self._class(*pair) for pair in zip(known, resolutions, strict=True)]
        project = self.project(join(jnp.concatenate(classes, axis=-1), self.patch))
        return jnp.concatenate([conv, project], axis=-1)

    def _class(
        self, value: Int[Array, "b h w c"], resolution: Int[Array, "b h w c"]
    ) -> Float[Array, "b h w cq"]:
        row = self.coarsening.identity(value, resolution) if self.augment else value
        # A product with one-hot rows has a gradient that sums in a fixed order, unlike a look-up.
        one_hot = jax.nn.one_hot(row, self.rows, dtype=self.dtype)
        return (one_hot @ self.table.embedding.astype(self.dtype)).reshape(*value.shape[:3], -1)


class StagedTime(nnx.Module):
    """The time embedding of a step within its stage, plus a learnt embedding of the stage."""

    def __init__(
        self, width: int, dims: int, stages: int, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.dims, self.stages, self.dtype = dims, stages, dtype
        self.within = TimeEmbedding(width, dims, dtype, rngs)
        self.stage = nnx.Embed(stages, 4 * width, dtype=dtype, rngs=rngs)

    def __call__(self, t: Int[Array, " b"]) -> Float[Array, "b e"]:
        """Embed steps of the whole generation, 0 .. S D - 1."""
        one_hot = jax.nn.one_hot(t // self.dims, self.stages, dtype=self.dtype)
        return self.within(t % self.dims) + one_hot @ self.stage.embedding.astype(self.dtype)

"""The first layer of a network for Upscale ARDM and its time: they see the stage."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Integer

from ardm.model.coarsening import Coarsening
from ardm.model.layers import TimeEmbedding
from ardm.model.logistic import level
from ardm.model.patches import join


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

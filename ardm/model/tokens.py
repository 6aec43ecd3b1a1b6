"""The first layer of a transformer: one token for each dimension."""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Integer

from ardm.model.coarsening import Coarsening

_MOST_ONE_HOT = 4096
"""Largest number of rows of a table that is multiplied by one-hot rows."""


class TokenEmbedding(nnx.Module):
    """Embeds the class of every dimension; all hidden dimensions share the mask token.

    The table has K + 1 rows for each channel: one for each class, and one for the mask token.
    """

    def __init__(
        self, channels: int, classes: int, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.channels, self.classes, self.dtype = channels, classes, dtype
        self.table = nnx.Embed(channels * (classes + 1), width, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Integer[Array, "b h w c"],
        mask: Bool[Array, "b h w c"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b d f"]:
        """Embed the values `x` (0 .. K-1) where `mask` is true, and the mask token elsewhere.

        `t` is ignored: it is an argument because `UpscaleTokens` needs it.
        """
        flat = (rearrange(v, "b h w c -> b (h w c)") for v in (x, mask))
        values, visible = flat
        dims = jnp.broadcast_to(jnp.arange(values.shape[1]), values.shape)
        return self.tokens(values, dims, visible)

    def tokens(
        self,
        values: Integer[Array, "b d"],
        dims: Int[Array, "b d"],
        visible: Bool[Array, "b d"],
    ) -> Float[Array, "b d f"]:
        """Embed dimensions in any order.

        Args:
            values: values 0 .. K-1; those that are not visible are ignored.
            dims: which dimension each value belongs to, 0 .. D-1.
            visible: false for the mask token.
        """
        row = jnp.where(visible, values.astype(jnp.int32), self.classes)
        row = row + dims % self.channels * (self.classes + 1)
        return rows(self.table, row, self.dtype)


class UpscaleTokens(nnx.Module):
    """Embeds the values before and after a stage of Upscale ARDM, the mask and the stage.

    A token is the sum of embeddings of the value before the stage; of the value after it, or where
    the mask hides that, again the one before it; of the mask; and of the stage.

    Args:
        coarsening: the stages of a value.
        shape: height, width and channels of one example.
        width: features of a token.
        augment: whether coarse values have embeddings of their own.
        dtype: type of the computations; parameters are float32.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        coarsening: Coarsening,
        shape: tuple[int, int, int],
        width: int,
        *,
        augment: bool,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        height, columns, self.channels = shape
        self.coarsening, self.augment, self.dtype = coarsening, augment, dtype
        self.dims = height * columns * self.channels
        self.rows = coarsening.identities if augment else coarsening.classes
        self.before, self.after = (
            nnx.Embed(self.channels * self.rows, width, dtype=dtype, rngs=rngs) for _ in range(2)
        )
        self.stage = nnx.Embed(2 * coarsening.stages, width, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Integer[Array, "b h w c"],
        mask: Bool[Array, "b h w c"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b d f"]:
        """Embed the values at a generation step.

        Args:
            x: values 0 .. K-1. Of a hidden dimension only the digits of earlier stages are used; of
                a visible one also the digit of this stage.
            mask: true where the digit of this stage is visible.
            t: generation step of each example, counted over all stages, 0 .. S D - 1.
        """
        stage = (t // self.dims)[:, None, None, None]
        before = jnp.broadcast_to(self.coarsening.stages - stage, x.shape)
        tokens = rows(self.stage, 2 * stage + mask, self.dtype)
        for table, resolution in ((self.before, before), (self.after, before - mask)):
            value = self.coarsening.coarse(x, resolution)
            row = self.coarsening.identity(value, resolution) if self.augment else value
            row = row + jnp.arange(self.channels) * self.rows
            tokens = tokens + rows(table, row, self.dtype)
        return rearrange(tokens, "b h w c f -> b (h w c) f")


def rows(table: nnx.Embed, row: Int[Array, "..."], dtype: DTypeLike) -> Float[Array, "... f"]:
    """Rows of a table. A large table is looked up: one-hot rows would not fit the memory."""
    if table.num_embeddings > _MOST_ONE_HOT:
        return jnp.take(table.embedding[...].astype(dtype), row, axis=0)
    # The gradient of a product with one-hot rows sums in a fixed order. That of a look-up does so
    # on a CPU, and on a GPU with the flag for deterministic operations only, which is slow.
    one_hot = jax.nn.one_hot(row, table.num_embeddings, dtype=dtype)
    return one_hot @ table.embedding[...].astype(dtype)

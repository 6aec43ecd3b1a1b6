"""The transformer for text: one position for each dimension, with rotary places.

Three objectives use it. The order-agnostic one lets every position attend to all positions, and
hidden positions hold a mask token. The baselines shift the sequence by one and let a position
attend to itself and to earlier ones, so one call predicts every dimension from those before it.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from ardm.model.coarsening import Coarsening
from ardm.model.draws import stream
from ardm.model.layers import drop
from ardm.model.net_config import TransformerConfig
from ardm.model.tokens import TokenEmbedding, UpscaleTokens

Sequence = Float[Array, "b d f"]
Places = Int[Array, "b d"]
Attends = Literal["all", "natural", "permuted"]
"""What a position attends to: all positions; those before it; those before it in a given order."""

_SLOWEST = 10_000.0
"""Ratio of the largest to the smallest angular frequency of the rotation."""


def rotate(x: Float[Array, "b d n k"], places: Places) -> Float[Array, "b d n k"]:
    """Rotate pairs of features by angles proportional to the place (RoFormer, arXiv 2104.09864).

    The product of a rotated query and a rotated key depends on the difference of their places.

    Args:
        x: queries or keys of n heads, with an even number of features.
        places: place of each position.
    """
    half = x.shape[-1] // 2
    frequencies = _SLOWEST ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = places.astype(jnp.float32)[:, :, None, None] * frequencies
    cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


class RotaryAttention(nnx.Module):
    """Self-attention with rotary places and normalized queries and keys (arXiv 2010.04245).

    The features of a head have two halves. Keys are rotated by their own place in both. Queries are
    rotated by their own place in the first half, and by the place that they predict in the second.
    """

    def __init__(self, width: int, *, heads: int, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.query, self.key, self.value = (
            nnx.Linear(width, width, use_bias=False, dtype=dtype, rngs=rngs) for _ in range(3)
        )
        self.query_norm, self.key_norm = (
            nnx.RMSNorm(width // heads, dtype=dtype, rngs=rngs) for _ in range(2)
        )
        self.out = nnx.Linear(
            width,
            width,
            use_bias=False,
            kernel_init=nnx.initializers.zeros_init(),
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, x: Sequence, own: Places, predicted: Places, *, causal: bool) -> Sequence:
        """Attend to all positions, or if `causal` to the same and earlier ones.

        Args:
            x: features of the positions.
            own: place of each position.
            predicted: place that each position predicts.
            causal: whether later positions are out of sight.
        """
        query, key, value = (
            rearrange(layer(x), "b d (n k) -> b d n k", n=self.heads)
            for layer in (self.query, self.key, self.value)
        )
        query, key = self.query_norm(query), self.key_norm(key)
        attended = jax.nn.dot_product_attention(
            _rotate_halves(query, own, predicted),
            _rotate_halves(key, own, own),
            value,
            is_causal=causal,
        )
        return self.out(rearrange(attended, "b d n k -> b d (n k)"))


def _rotate_halves(
    x: Float[Array, "b d n k"], first: Places, second: Places
) -> Float[Array, "b d n k"]:
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([rotate(a, first), rotate(b, second)], axis=-1)


class Block(nnx.Module):
    """Attention, then two dense layers; each reads its normalized input and adds its output."""

    def __init__(self, config: TransformerConfig, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        width, hidden = config.width, config.expansion * config.width
        self.dropout = config.dropout
        self.norm1 = nnx.RMSNorm(width, dtype=dtype, rngs=rngs)
        self.attention = RotaryAttention(width, heads=config.heads, dtype=dtype, rngs=rngs)
        self.norm2 = nnx.RMSNorm(width, dtype=dtype, rngs=rngs)
        self.widen = nnx.Linear(width, hidden, dtype=dtype, rngs=rngs)
        self.narrow = nnx.Linear(
            hidden, width, kernel_init=nnx.initializers.zeros_init(), dtype=dtype, rngs=rngs
        )

    def __call__(
        self,
        x: Sequence,
        own: Places,
        predicted: Places,
        keys: Key[Array, " b"] | None,
        *,
        causal: bool,
    ) -> Sequence:
        """Transform `x`. Dropout is on if there are `keys`, one per example."""
        x = x + self._drop(self.attention(self.norm1(x), own, predicted, causal=causal), keys, 0)
        return x + self._drop(self.narrow(nnx.gelu(self.widen(self.norm2(x)))), keys, 1)

    def _drop(self, x: Sequence, keys: Key[Array, " b"] | None, number: int) -> Sequence:
        if keys is None or not self.dropout:
            return x
        return drop(x, stream(keys, number), self.dropout)


class Transformer(nnx.Module):
    """Predicts the distribution of every dimension from the visible ones, or from earlier ones.

    Args:
        config: sizes of the network.
        shape: height, width and channels of one example.
        classes: K, the number of classes of one dimension.
        outputs: number of outputs per dimension.
        attends: what a position attends to.
        coarsening: the stages of Upscale ARDM; None for other models.
        augment: whether coarse values have embeddings of their own (Upscale ARDM only).
        dtype: type of the computations; parameters are float32.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        config: TransformerConfig,
        shape: tuple[int, int, int],
        classes: int,
        outputs: int,
        attends: Attends = "all",
        coarsening: Coarsening | None = None,
        *,
        augment: bool = False,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.shape, self.attends = shape, attends
        self.embed: Any  # TokenEmbedding, or UpscaleTokens for Upscale ARDM
        if coarsening is None:
            self.embed = TokenEmbedding(shape[2], classes, config.width, dtype=dtype, rngs=rngs)
        else:
            self.embed = UpscaleTokens(
                coarsening, shape, config.width, augment=augment, dtype=dtype, rngs=rngs
            )
        # A dictionary, because its keys are the names under which a checkpoint stores the arrays.
        self.block: nnx.Dict = nnx.Dict(
            {f"{i:02d}": Block(config, dtype=dtype, rngs=rngs) for i in range(config.blocks)}
        )
        self.norm = nnx.RMSNorm(config.width, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(config.width, outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Integer[Array, "b h w c"],
        seen: Bool[Array, "b h w c"] | Int[Array, "b h w c"],
        t: Int[Array, " b"],
        keys: Key[Array, " b"] | None = None,
    ) -> Float[Array, "b h w o"]:
        """Predict every dimension.

        Args:
            x: values 0 .. K-1.
            seen: true where a dimension is visible; for `permuted`, sigma, the step at which each
                dimension is generated. The natural order ignores it.
            t: generation step of each example; only Upscale ARDM needs it.
            keys: one key per example for dropout; without them dropout is off.

        Returns:
            The outputs for each pixel, from which its distribution is computed, float32.
        """
        height, width, channels = self.shape
        if self.attends == "all":
            places = self._places(x)
            h = self._transform(self.embed(x, seen, t), places, places, keys)
        elif self.attends == "natural":
            h = self._in_order(x, self._places(x), keys)
        else:
            sigma = rearrange(seen, "b h w c -> b (h w c)")
            h = self._in_order(x, jnp.argsort(sigma, axis=1), keys)
            h = jnp.take_along_axis(h, sigma[..., None], axis=1)
        outputs = self.out(self.norm(h)).astype(jnp.float32)
        return rearrange(outputs, "b (h w c) o -> b h w (c o)", h=height, w=width, c=channels)

    def _in_order(
        self, x: Integer[Array, "b h w c"], order: Places, keys: Key[Array, " b"] | None
    ) -> Sequence:
        """Features from which each step's dimension is predicted, in the order of the steps.

        The token of a step is the dimension that the step before it generated. The token of the
        first step is the mask token, at place 0; the dimensions have the places 1 .. D.
        """
        values = jnp.take_along_axis(rearrange(x, "b h w c -> b (h w c)"), order, axis=1)
        generated = jnp.pad(values[:, :-1], ((0, 0), (1, 0)))
        places = jnp.pad(order[:, :-1] + 1, ((0, 0), (1, 0)))
        tokens = self.embed.tokens(generated, jnp.maximum(places - 1, 0), places > 0)
        return self._transform(tokens, places, order + 1, keys)

    def _transform(
        self, h: Sequence, own: Places, predicted: Places, keys: Key[Array, " b"] | None
    ) -> Sequence:
        for number, name in enumerate(self.block):
            at_block = keys if keys is None else stream(keys, number)
            h = self.block[name](h, own, predicted, at_block, causal=self.attends != "all")
        return h

    def _places(self, x: Integer[Array, "b h w c"]) -> Places:
        return jnp.broadcast_to(jnp.arange(x[0].size, dtype=jnp.int32), (len(x), x[0].size))

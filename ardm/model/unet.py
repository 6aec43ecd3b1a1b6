"""The U-Net for images, similar to the one in the experiments of arXiv 2110.02037."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from ardm.model.coarsening import Coarsening
from ardm.model.embedding import ImageEmbedding, StagedTime, UpscaleEmbedding, separate
from ardm.model.layers import (
    Attention,
    Downsample,
    GroupNorm,
    ResidualBlock,
    TimeEmbedding,
    Upsample,
)
from ardm.model.net_config import UNetConfig


class Stage(nnx.Module):
    """A residual block, followed by attention at some resolutions."""

    def __init__(self, block: ResidualBlock, attention: Attention | None) -> None:
        self.block = block
        if attention is not None:
            self.attention = attention
        self.attends = attention is not None

    def __call__(
        self,
        x: Float[Array, "b h w c"],
        time: Float[Array, "b e"],
        keys: Key[Array, " b"] | None,
    ) -> Float[Array, "b h w o"]:
        """Apply the block, then the attention if there is one."""
        x = self.block(x, time, keys)
        return self.attention(x) if self.attends else x


class UNet(nnx.Module):
    """Predicts the distribution of every dimension from the visible ones.

    Args:
        config: sizes of the network.
        shape: height, width and channels of one image.
        mask_channels: channels of the mask.
        classes: K, the number of classes of one dimension.
        steps: number of generation steps, summed over the stages.
        outputs: number of outputs per pixel.
        coarsening: the stages of Upscale ARDM; None for an order-agnostic model.
        augment: whether coarse values have embeddings of their own (Upscale ARDM only).
        dtype: type of the computations; parameters are float32.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        config: UNetConfig,
        shape: tuple[int, int, int],
        mask_channels: int,
        classes: int,
        steps: int,
        outputs: int,
        coarsening: Coarsening | None = None,
        *,
        augment: bool = False,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        sides = [shape[0] // config.patch // 2**level for level in range(len(widths))]
        first, last = widths[0], widths[-1]

        def attention(width: int) -> Attention:
            return Attention(
                width, heads=config.heads, groups=config.groups, dtype=dtype, rngs=rngs
            )

        def stage(width_in: int, width_out: int, attends: bool) -> Stage:
            block = ResidualBlock(
                width_in,
                width_out,
                4 * first,
                groups=config.groups,
                dropout=config.dropout,
                dtype=dtype,
                rngs=rngs,
            )
            return Stage(block, attention(width_out) if attends else None)

        self.levels, self.blocks, self.patch = len(widths), config.blocks, config.patch
        if coarsening is None:
            self.embed: ImageEmbedding | UpscaleEmbedding = ImageEmbedding(
                shape[2],
                mask_channels,
                classes,
                first,
                patch=config.patch,
                dtype=dtype,
                rngs=rngs,
            )
            self.time: TimeEmbedding | StagedTime = TimeEmbedding(first, steps, dtype, rngs)
        else:
            dims = steps // coarsening.stages
            self.embed = UpscaleEmbedding(
                coarsening,
                dims,
                shape[2],
                first,
                augment=augment,
                patch=config.patch,
                dtype=dtype,
                rngs=rngs,
            )
            self.time = StagedTime(first, dims, coarsening.stages, dtype, rngs)
        # Dictionaries, because their keys are the names under which a checkpoint stores the arrays.
        self.down: nnx.Dict = nnx.Dict()
        self.up: nnx.Dict = nnx.Dict()

        width, skips = first, [first]
        for level in range(self.levels):
            for block in range(self.blocks):
                self.down[f"stage_{level}_{block}"] = stage(
                    width, widths[level], sides[level] in config.attention
                )
                width = widths[level]
                skips.append(width)
            if level + 1 < self.levels:
                self.down[f"halve_{level}"] = Downsample(width, dtype=dtype, rngs=rngs)
                skips.append(width)

        self.middle_0 = stage(last, last, True)
        self.middle_1 = stage(last, last, False)

        for level in reversed(range(self.levels)):
            for block in range(self.blocks + 1):
                self.up[f"stage_{level}_{block}"] = stage(
                    width + skips.pop(), widths[level], sides[level] in config.attention
                )
                width = widths[level]
            if level:
                self.up[f"double_{level}"] = Upsample(width, dtype=dtype, rngs=rngs)

        self.norm = GroupNorm(first, groups=config.groups)
        self.out = nnx.Conv(first, config.patch**2 * outputs, (3, 3), dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Integer[Array, "b h w c"],
        mask: Bool[Array, "b h w m"],
        t: Int[Array, " b"],
        keys: Key[Array, " b"] | None = None,
    ) -> Float[Array, "b h w o"]:
        """Predict every dimension from the visible ones.

        Args:
            x: values 0 .. K-1; hidden values are ignored.
            mask: true where a dimension is visible.
            t: generation step of each example.
            keys: one key per example for dropout; without them dropout is off.

        Returns:
            The outputs for each pixel, from which its distribution is computed, float32.
        """
        time = self.time(t)
        h = self.embed(x, mask, t)
        block_keys = _Keys(keys)

        skips = [h]
        for level in range(self.levels):
            for block in range(self.blocks):
                h = self.down[f"stage_{level}_{block}"](h, time, block_keys.next())
                skips.append(h)
            if level + 1 < self.levels:
                h = self.down[f"halve_{level}"](h)
                skips.append(h)

        h = self.middle_0(h, time, block_keys.next())
        h = self.middle_1(h, time, block_keys.next())

        for level in reversed(range(self.levels)):
            for block in range(self.blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = self.up[f"stage_{level}_{block}"](h, time, block_keys.next())
            if level:
                h = self.up[f"double_{level}"](h)

        return separate(self.out(nnx.swish(self.norm(h))), self.patch).astype(jnp.float32)


class _Keys:
    """Dropout keys of one forward pass: `next` derives those of the next block, one per example."""

    def __init__(self, keys: Key[Array, " b"] | None) -> None:
        self.keys = keys
        self.used = 0

    def next(self) -> Key[Array, " b"] | None:
        self.used += 1
        if self.keys is None:
            return None
        return jax.vmap(lambda key: jax.random.fold_in(key, self.used))(self.keys)

"""A stack of gated dilated convolutions for audio, in the way of DiffWave (arXiv 2009.09761)."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from ardm.model.coarsening import Coarsening
from ardm.model.draws import stream
from ardm.model.embedding import StagedTime
from ardm.model.layers import TimeEmbedding, drop
from ardm.model.logistic import level
from ardm.model.net_config import DilatedConfig
from ardm.model.tokens import rows

Sequence = Float[Array, "b l f"]

_MOST_ROWS = 1024
"""Largest number of classes that have embeddings of their own; of more only the value is seen."""


class DilatedBlock(nnx.Module):
    """A dilated convolution whose outputs gate each other, then a layer to the next block and out.

    Args:
        channels: width of the network.
        dilation: distance of the taps.
        time_width: width of the time embedding.
        dropout: dropout rate.
        dtype: type of the computations; parameters are float32.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        channels: int,
        dilation: int,
        time_width: int,
        *,
        dropout: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.dropout = dropout
        self.time = nnx.Linear(time_width, channels, dtype=dtype, rngs=rngs)
        self.conv = nnx.Conv(
            channels, 2 * channels, (3,), kernel_dilation=dilation, dtype=dtype, rngs=rngs
        )
        self.mix = nnx.Linear(channels, 2 * channels, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Sequence, time: Float[Array, "b e"], keys: Key[Array, " b"] | None
    ) -> tuple[Sequence, Sequence]:
        """The input of the next block, and what is added to the output of the stack."""
        h = self.conv(x + self.time(nnx.swish(time))[:, None, :])
        signal, gate = jnp.split(h, 2, axis=-1)
        h = jnp.tanh(signal) * nnx.sigmoid(gate)
        if keys is not None and self.dropout:
            h = drop(h, keys, self.dropout)
        ahead, out = jnp.split(self.mix(h), 2, axis=-1)
        return (x + ahead) * 0.5**0.5, out


class DilatedNet(nnx.Module):
    """Predicts the distribution of every sample from the visible ones.

    Args:
        config: sizes of the network.
        shape: length of a sequence, 1 and 1.
        classes: K, the number of classes of one sample.
        steps: number of generation steps, summed over the stages.
        outputs: number of outputs per sample.
        coarsening: the stages of Upscale ARDM; None for an order-agnostic model.
        augment: whether coarse values have embeddings of their own (Upscale ARDM only).
        dtype: type of the computations; parameters are float32.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        config: DilatedConfig,
        shape: tuple[int, int, int],
        classes: int,
        steps: int,
        outputs: int,
        coarsening: Coarsening | None = None,
        *,
        augment: bool = False,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        width = config.channels
        self.time: TimeEmbedding | StagedTime
        if coarsening is None:
            self.time = TimeEmbedding(width, steps, dtype, rngs)
        else:
            dims = steps // coarsening.stages
            self.time = StagedTime(width, dims, coarsening.stages, dtype, rngs)
        self.embed = SampleEmbedding(
            classes, width, shape[0], coarsening, augment=augment, dtype=dtype, rngs=rngs
        )
        # A dictionary, because its keys are the names under which a checkpoint stores the arrays.
        self.block: nnx.Dict = nnx.Dict(
            {
                f"{number:02d}": DilatedBlock(
                    width,
                    2 ** (number % config.cycle),
                    4 * width,
                    dropout=config.dropout,
                    dtype=dtype,
                    rngs=rngs,
                )
                for number in range(config.blocks)
            }
        )
        self.join = nnx.Linear(width, width, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(width, outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Integer[Array, "b l 1 1"],
        mask: Bool[Array, "b l 1 1"],
        t: Int[Array, " b"],
        keys: Key[Array, " b"] | None = None,
    ) -> Float[Array, "b l 1 o"]:
        """Predict every sample from the visible ones.

        Args:
            x: values 0 .. K-1; hidden values are ignored.
            mask: true where a sample is visible.
            t: generation step of each example.
            keys: one key per example for dropout; without them dropout is off.

        Returns:
            The outputs for each sample, from which its distribution is computed, float32.
        """
        h, time = self.embed(x[:, :, 0, 0], mask[:, :, 0, 0], t), self.time(t)
        total = jnp.zeros_like(h)
        for number, name in enumerate(self.block):
            of_block = keys if keys is None else stream(keys, number)
            h, out = self.block[name](h, time, of_block)
            total = total + out
        total = nnx.relu(total * len(self.block) ** -0.5)
        return self.out(nnx.relu(self.join(total))).astype(jnp.float32)[:, :, None, :]


class SampleEmbedding(nnx.Module):
    """Turns visible samples and the mask into the first features of a sequence.

    The inputs of Upscale ARDM are the values before the stage and, where the mask is true, after
    it; those of other models are the visible values. Their amplitudes are the input of a linear
    layer. With at most `_MOST_ROWS` classes, or with `augment`, each class has an embedding, too.
    """

    def __init__(
        self,
        classes: int,
        width: int,
        dims: int,
        coarsening: Coarsening | None,
        *,
        augment: bool,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.classes, self.dims, self.dtype = classes, dims, dtype
        self.coarsening, self.augment = coarsening, augment and coarsening is not None
        number = classes
        if coarsening is not None and augment:
            number = coarsening.identities
        self.has_rows = self.augment or classes <= _MOST_ROWS
        self.amplitude = nnx.Linear(2 if coarsening is None else 3, width, dtype=dtype, rngs=rngs)
        if self.has_rows:
            self.table = nnx.Embed(number, width, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Integer[Array, "b l"], mask: Bool[Array, "b l"], t: Int[Array, " b"]
    ) -> Sequence:
        """Embed the values `x` at a generation step; what the mask hides is ignored."""
        visible = mask.astype(self.dtype)
        if self.coarsening is None:
            signal = level(x, self.classes).astype(self.dtype) * visible
            h = self.amplitude(jnp.stack([signal, visible], axis=-1))
            if self.has_rows:
                h = h + rows(self.table, x.astype(jnp.int32), self.dtype) * visible[..., None]
            return h
        before = jnp.broadcast_to(self.coarsening.stages - (t // self.dims)[:, None], x.shape)
        resolutions = (before - mask, before)
        known = [self.coarsening.coarse(x, resolution) for resolution in resolutions]
        signals = [level(value, self.classes).astype(self.dtype) for value in known]
        h = self.amplitude(jnp.stack([*signals, visible], axis=-1))
        if self.has_rows:
            row = known[0]
            if self.augment:
                row = self.coarsening.identity(row, resolutions[0])
            h = h + rows(self.table, row, self.dtype)
        return h

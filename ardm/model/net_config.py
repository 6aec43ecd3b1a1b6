"""The `model.net` section of a job file: one class for each kind of network."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from ardm.config import Count, Fraction, Section

WIDEST = 65_536
Width = Annotated[int, Field(gt=0, le=WIDEST)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)]
Sides = Annotated[tuple[Width, ...], Field(max_length=64)]
Depth = Annotated[int, Field(gt=0, le=1024)]


class UNetConfig(Section):
    """A U-Net, for images.

    It has one level per entry of `multipliers`; each level halves the side of the image. If `patch`
    is above 1, the finest level works at 1 / `patch` of the image's side.
    """

    kind: Literal["unet"] = "unet"
    """The network that the section describes."""
    patch: Width = 1
    """Side in pixels of the square patch that is one position of the finest level. Doubling it
    saves three quarters of that level's work and doubles the view of its convolutions."""
    channels: Width = 32
    """Width of the network; every level multiplies it."""
    multipliers: Widths = (1, 2, 2)
    """Width of each level, finest first, in units of `channels`."""
    blocks: Depth = 2
    """Residual blocks per level on the way down; on the way up each level has one more."""
    attention: Sides = (7,)
    """Sides, in positions, of the levels whose blocks are followed by attention. The middle of the
    network always has an attention layer."""
    heads: Count = 1
    """Heads of every attention layer."""
    groups: Count = 32
    """Groups of every group normalization."""
    dropout: Fraction = 0.0
    """Dropout rate before the last convolution of a block, in training only."""


class TransformerConfig(Section):
    """A transformer, for text. Every dimension of an example is one of its positions."""

    kind: Literal["transformer"] = "transformer"
    """The network that the section describes."""
    width: Width = 256
    """Width of the network."""
    blocks: Depth = 6
    """Blocks, each with an attention layer and two dense layers."""
    heads: Count = 4
    """Heads of every attention layer."""
    expansion: Annotated[int, Field(gt=0, le=64)] = 4
    """Width of the hidden layer of a block's dense layers, in units of `width`."""
    dropout: Fraction = 0.0
    """Dropout rate of what a layer adds to its input, in training only."""


class DilatedConfig(Section):
    """A stack of gated dilated convolutions along a sequence, for audio (DiffWave)."""

    kind: Literal["dilated"] = "dilated"
    """The network that the section describes."""
    channels: Width = 64
    """Width of the network."""
    blocks: Depth = 20
    """Blocks, each with a dilated convolution of three taps."""
    cycle: Annotated[int, Field(gt=0, le=16)] = 10
    """The dilation doubles from block to block, and begins at 1 again after this many blocks."""
    dropout: Fraction = 0.0
    """Dropout rate before each block's last layer, in training only."""


_CLASSES: dict[str, type[Section]] = {
    "unet": UNetConfig,
    "transformer": TransformerConfig,
    "dilated": DilatedConfig,
}
KINDS = tuple(_CLASSES)


def _kind(value: Any) -> str | None:
    """The kind of a network, whose class describes its keys; a U-Net unless one is given."""
    kind = value.get("kind", "unet") if isinstance(value, dict) else getattr(value, "kind", "unet")
    return kind if kind in KINDS else None


NetConfig = Annotated[
    Annotated[UNetConfig, Tag("unet")]
    | Annotated[TransformerConfig, Tag("transformer")]
    | Annotated[DilatedConfig, Tag("dilated")],
    Discriminator(_kind, custom_error_type="kind", custom_error_message=", ".join(KINDS)),
]
"""The network that predicts every hidden dimension at once; `kind` selects its class."""

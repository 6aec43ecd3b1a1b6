"""The `model` section of a job file, and what in it does not fit the images."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from ardm.config import Section

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class NetConfig(Section):
    """The network that predicts every hidden dimension at once.

    The U-Net has one level per entry of `multipliers`; each level halves the side of the image.
    """

    kind: Literal["unet"] = "unet"
    channels: PositiveInt = 32
    """Width of the network; every level multiplies it."""
    multipliers: Widths = (1, 2, 2)
    """Width of each level, finest first, in units of `channels`."""
    blocks: PositiveInt = 2
    """Residual blocks per level on the way down; one more on the way up."""
    attention: tuple[PositiveInt, ...] = (7,)
    """Image sides at which every block is followed by attention; the middle always has one."""
    heads: PositiveInt = 1
    """Attention heads."""
    groups: PositiveInt = 32
    """Groups of every group normalisation."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Rate of dropout before the last convolution of a block, while training."""


class ModelConfig(Section):
    """What is learnt (`objective`), how a dimension is distributed (`output`), by which `net`."""

    objective: Literal["oa"] = "oa"
    output: Literal["categorical"] = "categorical"
    net: NetConfig = NetConfig()
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the network's computations; parameters and likelihoods are float32 always."""


def faults(config: ModelConfig, shape: tuple[int, int, int]) -> list[str]:
    """Say what in `config` does not fit images of `shape`.

    Args:
        config: the `model` section.
        shape: height, width and channels of one image.

    Returns:
        One sentence per fault, with the key at fault and the choices that fit; empty if none.
    """
    net = config.net
    return _side_faults(net, shape) + _width_faults(net)


def _side_faults(net: NetConfig, shape: tuple[int, int, int]) -> list[str]:
    height, width, _ = shape
    levels = len(net.multipliers)
    stride = 2 ** (levels - 1)
    if height % stride or width % stride:
        fitting = max(n for n in range(1, levels + 1) if not (height % 2 ** (n - 1)))
        while width % 2 ** (fitting - 1):
            fitting -= 1
        return [
            f"net.multipliers: {levels} levels need image sides divisible by {stride}, but the"
            f" images are {height}x{width}; give at most {fitting} multipliers"
        ]
    sides = [height // 2**level for level in range(levels)]
    return [
        f"net.attention: no level works at resolution {side}; choose from {sides}"
        for side in net.attention
        if side not in sides
    ]


def _width_faults(net: NetConfig) -> list[str]:
    faults = []
    widths = [net.channels * multiplier for multiplier in net.multipliers]
    if net.channels * net.multipliers[0] % 4:
        faults.append(
            f"net.channels: the first level is {widths[0]} wide, and a quarter of it embeds the"
            " class; choose a multiple of 4"
        )
    if any(width % net.groups for width in widths):
        fitting = [g for g in range(1, min(widths) + 1) if not any(w % g for w in widths)]
        faults.append(
            f"net.groups: {net.groups} groups do not divide the widths {widths} of the levels;"
            f" choose from {fitting}"
        )
    if any(width % net.heads for width in widths):
        fitting = [h for h in range(1, min(widths) + 1) if not any(w % h for w in widths)]
        faults.append(
            f"net.heads: {net.heads} heads do not divide the widths {widths} of the levels;"
            f" choose from {fitting}"
        )
    return faults

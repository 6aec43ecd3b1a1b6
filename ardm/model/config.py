"""The `model` section of a job file, and the checks of it against the shape of the images."""

from math import gcd, isqrt
from typing import Literal, get_args

from ardm.config import Count, Section
from ardm.model.characters import BYTES, TEXT8
from ardm.model.net_config import WIDEST, NetConfig, TransformerConfig, UNetConfig, Width

OutputKind = Literal["categorical", "logistic_mixture", "rgb_mixture"]


class UpscaleConfig(Section):
    """The stages of Upscale ARDM: how values are refined from coarse to fine."""

    branch: Count = 4
    """Branch factor b: the number of children of a coarse value."""
    levels: Literal["digits", "letters"] = "digits"
    """What coarse values are: `digits`, values whose least digits to the base b are zero;
    `letters`, for texts, the kind of a character (vowel, consonant, space, ...), whatever b is."""
    mode: Literal["zero", "augment"] = "zero"
    """How the network sees coarse values. `zero`: as classes whose least significant digits are
    zero. `augment`: as additional classes, one per resolution and coarse value."""
    parametrisation: Literal["data", "direct"] = "data"
    """What the network predicts: logits of the whole value (`data`), or of each stage's digit
    (`direct`)."""


class ModelConfig(Section):
    """The training objective, the output distribution of a dimension, and the network."""

    objective: Literal["oa", "upscale", "autoregressive", "permuted"] = "oa"
    """`oa`: any order, several dimensions per network call; `upscale`: the same from coarse to
    fine. The baselines generate one dimension per call, and compute an exact likelihood in one:
    `autoregressive` in the natural order, `permuted` in any order."""
    output: OutputKind = "categorical"
    """Distribution of a dimension: `categorical`, one logit per class; `logistic_mixture`,
    discretized logistic components, for many ordered classes; `rgb_mixture`, the same with the
    channels of a pixel drawn together."""
    components: Width = 10
    """Logistic components per mixture; ignored by the categorical output."""
    upscale: UpscaleConfig = UpscaleConfig()
    """Settings of the objective `upscale`; ignored by other objectives."""
    net: NetConfig = UNetConfig()
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the network's computations; parameters and likelihoods are always float32."""


def faults(config: ModelConfig, shape: tuple[int, int, int], classes: int) -> list[str]:
    """List what in `config` does not fit images of `shape` with `classes` values.

    Args:
        config: the `model` section.
        shape: height, width and channels of one image.
        classes: K, the number of classes of one dimension.

    Returns:
        One sentence per fault, which names the key and the choices that fit; empty if all fits.
    """
    if isinstance(config.net, TransformerConfig):
        of_net = _transformer_faults(config, config.net, shape)
    else:
        of_net = _causality_faults(config)
        if isinstance(config.net, UNetConfig):
            of_net += _side_faults(config.net, shape) + _width_faults(config.net)
        elif shape[1:] != (1, 1):
            of_net.append(
                "net.kind: dilated convolutions run along a sequence, but the images are "
                f"{shape[0]}x{shape[1]}x{shape[2]}; choose unet"
            )
    return _output_faults(config, shape, classes) + _upscale_faults(config, shape, classes) + of_net


def _output_faults(config: ModelConfig, shape: tuple[int, int, int], classes: int) -> list[str]:
    channels = shape[2]
    unfit: dict[str, str] = {}
    if classes < 3:
        reason = f"mixes logistics over ordered values, but the images have {classes} classes"
        unfit = dict.fromkeys(("logistic_mixture", "rgb_mixture"), reason)
    elif channels != 3:
        reason = f"needs images of 3 channels, but these have {channels}"
        unfit = {"rgb_mixture": reason}
    if config.output not in unfit:
        return []
    fitting = [kind for kind in get_args(OutputKind) if kind not in unfit]
    return [f"output: {config.output} {unfit[config.output]}; choose {' or '.join(fitting)}"]


def _upscale_faults(config: ModelConfig, shape: tuple[int, int, int], classes: int) -> list[str]:
    if config.objective != "upscale":
        return []
    upscale, problems = config.upscale, []
    if config.output != "categorical":
        problems.append(
            f"output: the objective upscale chooses digits, not values of a {config.output};"
            " choose categorical, or the objective oa"
        )
    if upscale.levels == "letters":
        if classes not in (TEXT8, BYTES) or shape[2] > 1:
            problems.append(
                f"upscale.levels: letters are those of texts, with {TEXT8} or {BYTES} classes, not "
                f"of {shape[2]} channels with {classes} classes; choose digits"
            )
    elif not 2 <= upscale.branch <= classes:
        problems.append(
            f"upscale.branch: {upscale.branch} children cannot refine {classes} classes step by"
            f" step; choose from 2 to {classes}"
        )
    if upscale.mode == "augment" and upscale.parametrisation == "direct":
        problems.append(
            "upscale.parametrisation: direct knows only coarse values that are classes themselves,"
            " not those of mode augment; choose data, or mode zero"
        )
    return problems


def _causality_faults(config: ModelConfig) -> list[str]:
    if config.objective not in ("autoregressive", "permuted"):
        return []
    return [
        f"net.kind: the objective {config.objective} needs a causal network, and {config.net.kind} "
        "is none; choose transformer, or the objective oa"
    ]


def _transformer_faults(
    config: ModelConfig, net: TransformerConfig, shape: tuple[int, int, int]
) -> list[str]:
    faults = []
    if config.output != "categorical" and shape[2] > 1:
        faults.append(
            f"net.kind: a transformer predicts each channel separately, but the output "
            f"{config.output} needs all channels of a pixel; choose unet, or output: categorical"
        )
    if net.width % (4 * net.heads):
        choice = (
            "choose a width that is a multiple of 4 times the heads"
            if net.width % 4
            else f"choose from {_divisors(net.width // 4)}"
        )
        faults.append(
            f"net.heads: the width {net.width} cannot be divided into {net.heads} heads whose "
            f"widths are multiples of 4; {choice}"
        )
    return faults


def _side_faults(net: UNetConfig, shape: tuple[int, int, int]) -> list[str]:
    height, width, _ = shape
    levels = len(net.multipliers)
    stride = net.patch * 2 ** (levels - 1)
    if height % stride or width % stride:
        common = gcd(height, width)
        fitting = [n for n in range(1, levels) if not common % (net.patch * 2 ** (n - 1))]
        choice = (
            f"give at most {max(fitting)} multipliers"
            if fitting
            else f"choose a patch from {_divisors(common)}"
        )
        return [
            f"net.multipliers: {levels} levels of patches of {net.patch} need image sides"
            f" divisible by {stride}, but the images are {height}x{width}; {choice}"
        ]
    sides = [height // net.patch // 2**level for level in range(levels)]
    return [
        f"net.attention: no level works at resolution {side}; choose from {sides}"
        for side in net.attention
        if side not in sides
    ]


def _width_faults(net: UNetConfig) -> list[str]:
    faults = []
    widths = [net.channels * multiplier for multiplier in net.multipliers]
    if max(widths) > WIDEST:
        faults.append(f"net.channels: a level is {max(widths)} wide; choose at most {WIDEST}")
    if widths[0] % 4:
        faults.append(
            f"net.channels: the first level is {widths[0]} wide, and a quarter of it embeds the"
            " class; choose a multiple of 4"
        )
    for key, number in (("groups", net.groups), ("heads", net.heads)):
        if any(width % number for width in widths):
            faults.append(
                f"net.{key}: {number} {key} do not divide the widths {widths} of the levels;"
                f" choose from {_divisors(gcd(*widths))}"
            )
    return faults


def _divisors(number: int) -> list[int]:
    """List the divisors of a positive number, ascending."""
    low = [n for n in range(1, isqrt(number) + 1) if not number % n]
    return sorted({*low, *(number // n for n in low)})

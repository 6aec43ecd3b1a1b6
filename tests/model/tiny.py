"""A model small enough to enumerate all its images, with parameters far from initial ones."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from ardm.model.build import Model, build
from ardm.model.config import ModelConfig
from ardm.model.net_config import TransformerConfig, UNetConfig


def tiny_model(side=2, channels=1, classes=2, levels=1, patch=1, dropout=0.0, **options):
    """A model; `options` are keys of the `model` section."""
    net = UNetConfig(
        patch=patch,
        channels=8,
        multipliers=tuple(range(1, levels + 1)),
        blocks=1,
        attention=(),
        groups=4,
        dropout=dropout,
    )
    return build(ModelConfig(net=net, **options), (side, side, channels), classes)


def tiny_params(model, seed=0):
    """Draw parameters. No layer is zero, unlike at the start of training."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(0.3 * random.standard_normal(leaf.shape) + 0.1, leaf.dtype),
        model.shapes,
    )


@cache
def compiled(model: Model):
    """`predict(params, x, mask, t)` compiled once per model and shape for all tests of a file."""
    return jax.jit(model.predict)


def random_images(model, count, seed=5):
    random = np.random.default_rng(seed)
    return jnp.asarray(random.integers(0, model.classes, (count, *model.shape)), jnp.uint8)


def tiny_transformer(length=6, classes=3, dropout=0.0, channels=1, **options):
    """A model of short texts; `options` are keys of the `model` section."""
    net = TransformerConfig(width=16, blocks=2, heads=2, expansion=2, dropout=dropout)
    return build(ModelConfig(net=net, **options), (length, 1, channels), classes)

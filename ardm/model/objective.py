"""The order-agnostic objective (section 3 of arXiv 2110.02037)."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from ardm.model import draws
from ardm.model.coarsening import Stage
from ardm.model.output import Output

Predict = Callable[..., Float[Array, "b h w ..."]]
"""`predict(x, mask, t)`, or `predict(x, mask, t, keys)` with dropout."""


class Draw(NamedTuple):
    """What is random in one example's estimate."""

    sigma: Int[Array, "b h w m"]
    t: Int[Array, " b"]
    keys: Key[Array, " b"]
    """For dropout."""


class Terms(NamedTuple):
    """Estimates per example, in nats.

    Attributes:
        ll: log-likelihood of all hidden dimensions together.
        nll_per_dim: an unbiased sample of L[t].
        nelbo: an unbiased sample of the negative evidence lower bound.
    """

    ll: Float[Array, " b"]
    nll_per_dim: Float[Array, " b"]
    nelbo: Float[Array, " b"]


@dataclass(frozen=True)
class OrderAgnostic:
    """Generation in any order, one dimension per step.

    Attributes:
        output: the distribution of one dimension.
        shape: height, width and mask channels.
    """

    output: Output
    shape: tuple[int, int, int]

    @property
    def D(self) -> int:  # noqa: N802
        """The number of dimensions generated one by one."""
        height, width, channels = self.shape
        return height * width * channels

    @property
    def steps(self) -> int:
        """The number of generation steps."""
        return self.D

    @property
    def stages(self) -> int:
        """How often every dimension is generated: once."""
        return 1

    @property
    def values(self) -> int:
        """The numbers in one image, over which a bound is divided to give bits per dimension.

        More than D if the output generates all channels of a pixel as one dimension.
        """
        return self.shape[0] * self.shape[1] * self.output.channels

    @property
    def choices(self) -> int:
        """How many values a dimension can take at its step."""
        return self.output.classes ** (self.output.channels // self.output.mask_channels)

    @property
    def features(self) -> int:
        """How many numbers per pixel the network gives."""
        return self.output.features

    def parameters(
        self,
        features: Float[Array, "b h w f"],
        x: Integer[Array, "b h w c"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b h w ..."]:
        """Arrange the network's outputs as parameters of `output`; `x` and `t` do not matter."""
        return self.output.parameters(features)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return (*self.shape[:2], self.output.channels)

    def split(self, t: Int[Array, " b"]) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
        """The stage of a step, which is always 0, and the number of dimensions visible at it."""
        return jnp.zeros_like(t), t

    def stage_keys(self, keys: Key[Array, " b"], stage: Stage) -> Key[Array, " b"]:
        """The keys from which the images of these keys draw at a stage: the same."""
        return keys

    def target(self, x: Integer[Array, "b h w c"], stage: Stage) -> Integer[Array, "b h w c"]:
        """What a stage generates of images: their values."""
        return x

    def written(
        self,
        x: Integer[Array, "b h w c"],
        drawn: Integer[Array, "b h w c"],
        stage: Stage,
    ) -> Integer[Array, "b h w c"]:
        """The values once a stage has drawn its part of them: what is drawn."""
        return drawn

    def draw(
        self,
        key: Key[Array, ""],
        step: int | Integer[Array, ""],
        index: Integer[Array, " b"],
        batch: int,
        t_sampling: draws.TSampling,
    ) -> Draw:
        """Draw the orders and generation steps of a part of the global batch.

        Args:
            key: of the whole run.
            step: training step.
            index: of the examples in the global batch.
            batch: size of the global batch.
            t_sampling: `uniform`, or `antithetic` for low discrepancy over the global batch.

        Returns:
            The draws, the same bits whichever part they are asked for with.
        """
        return random_draw(key, step, index, batch, t_sampling, self.steps, self.shape)

    def terms(
        self,
        predict: Predict,
        x: Integer[Array, "b h w c"],
        draw: Draw,
        *,
        train: bool = False,
    ) -> Terms:
        """Estimate the likelihood of every example from one call of the network.

        Args:
            predict: the network with its parameters.
            x: values 0 .. K-1.
            draw: order and generation step of each example.
            train: whether dropout is on.

        Returns:
            Estimates per example, in nats, float32.
        """
        mask = draws.visible(draw.sigma, draw.t)
        parameters = predict(x, mask, draw.t, *([draw.keys] if train else []))
        return hidden_terms(self.output.log_prob(parameters, x), mask, draw.t)

    def loss(self, terms: Terms, ce_weight: float) -> Float[Array, " b"]:
        """Give the training loss per example, in bits per dimension.

        `(nelbo + ce_weight * -ll) / (D ln 2)`, with the numbers of an image in place of D where
        the output generates several as one dimension; the second term weighs all generation steps
        alike.
        """
        return bits_per_value(terms, ce_weight, self.values)


def random_draw(
    key: Key[Array, ""],
    step: int | Integer[Array, ""],
    index: Integer[Array, " b"],
    batch: int,
    t_sampling: draws.TSampling,
    steps: int,
    shape: tuple[int, int, int],
) -> Draw:
    """Draw orders of `shape` and generation steps 0 .. steps-1; see `OrderAgnostic.draw`."""
    keys = draws.example_keys(key, step, index)
    if t_sampling == "uniform":
        t = draws.uniform_times(keys, steps)
    else:
        t = draws.antithetic_times(key, step, index, batch, steps)
    return Draw(draws.orders(keys, shape), t, draws.dropout_keys(keys))


def bits_per_value(terms: Terms, ce_weight: float, values: int) -> Float[Array, " b"]:
    """Weigh the terms of a training loss, in bits per number of an image."""
    return (terms.nelbo - ce_weight * terms.ll) / (values * log(2))


def hidden_terms(
    log_prob: Float[Array, "b h w m"], mask: Bool[Array, "b h w m"], t: Int[Array, " b"]
) -> Terms:
    """Sum the log-probabilities of the hidden dimensions and scale to the whole bound.

    Args:
        log_prob: of every dimension given the visible ones, in nats.
        mask: true where visible.
        t: number of visible dimensions.

    Returns:
        Estimates per example, in nats.
    """
    dims = log_prob[0].size
    ll = jnp.where(mask, 0.0, log_prob).sum(axis=(1, 2, 3))
    nll_per_dim = -ll / (dims - t).astype(jnp.float32)
    return Terms(ll, nll_per_dim, dims * nll_per_dim)

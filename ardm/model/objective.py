"""What a model learns: to generate an image in any order, in one stage or several."""

from abc import ABC, abstractmethod
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
    weight: Float[Array, " b"] | None = None
    """Of the estimates, where t is not uniform."""


class Terms(NamedTuple):
    """Estimates per example, in nats.

    Attributes:
        ll: log-likelihood of all hidden dimensions together, times the weight of the draw.
        nll_per_dim: an unbiased sample of L[t].
        nelbo: an unbiased sample of the negative evidence lower bound.
    """

    ll: Float[Array, " b"]
    nll_per_dim: Float[Array, " b"]
    nelbo: Float[Array, " b"]


@dataclass(frozen=True)
class Objective(ABC):
    """Generation in any order, one dimension per step, in S stages of D steps.

    The stages follow upon each other: step t is step t mod D of stage t // D.

    Attributes:
        shape: height, width and mask channels.
    """

    shape: tuple[int, int, int]

    @property
    @abstractmethod
    def output(self) -> Output:
        """The distribution of what one step generates."""

    @property
    @abstractmethod
    def stages(self) -> int:
        """S: how often every dimension is generated, each time finer."""

    @property
    @abstractmethod
    def choices(self) -> int:
        """How many values a dimension can take at its step."""

    @property
    @abstractmethod
    def features(self) -> int:
        """How many numbers per pixel the network gives."""

    @property
    def D(self) -> int:  # noqa: N802
        """The number of dimensions generated one by one, at every stage anew."""
        height, width, channels = self.shape
        return height * width * channels

    @property
    def steps(self) -> int:
        """The number of generation steps, S D."""
        return self.stages * self.D

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return (*self.shape[:2], self.output.channels)

    @property
    def values(self) -> int:
        """The numbers in one image, over which a bound is divided to give bits per dimension.

        More than D if the output generates all channels of a pixel as one dimension.
        """
        height, width, channels = self.image_shape
        return height * width * channels

    @abstractmethod
    def parameters(
        self,
        features: Float[Array, "b h w f"],
        x: Integer[Array, "b h w c"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b h w ..."]:
        """Arrange the network's outputs as parameters of `output`.

        Args:
            features: the network's outputs.
            x: values, of which only what earlier stages have generated is looked at.
            t: generation step of each example.

        Returns:
            Parameters, float32; logits are not normalised.
        """

    @abstractmethod
    def stage_keys(self, keys: Key[Array, " b"], stage: Stage) -> Key[Array, " b"]:
        """The keys from which the images of these keys draw at a stage."""

    @abstractmethod
    def target(self, x: Integer[Array, "b h w c"], stage: Stage) -> Integer[Array, "b h w c"]:
        """What a stage generates of whole images."""

    @abstractmethod
    def written(
        self,
        x: Integer[Array, "b h w c"],
        drawn: Integer[Array, "b h w c"],
        stage: Stage,
    ) -> Integer[Array, "b h w c"]:
        """The values after a stage, from those before it and what it has drawn."""

    def split(self, t: Int[Array, " b"]) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
        """The stage of a step, and the number of dimensions visible at it."""
        return t // self.D, t % self.D

    def draw(
        self,
        key: Key[Array, ""],
        step: int | Integer[Array, ""],
        index: Integer[Array, " b"],
        batch: int,
        t_sampling: draws.TSampling,
    ) -> Draw:
        """Draw the orders and generation steps of a part of the global batch.

        A step uniform over all S D is a stage and a step of it, independent and both uniform.

        Args:
            key: of the whole run.
            step: training step.
            index: of the examples in the global batch.
            batch: size of the global batch.
            t_sampling: `uniform`, `antithetic` for low discrepancy over the global batch, or
                `importance`, which favours steps with large gradients, too.

        Returns:
            The draws, the same bits whichever part they are asked for with.
        """
        keys = draws.example_keys(key, step, index)
        weight = None
        if t_sampling == "uniform":
            t = draws.uniform_times(keys, self.steps)
        elif t_sampling == "antithetic":
            t = draws.antithetic_times(key, step, index, batch, self.steps)
        else:
            t, weight = draws.importance_times(key, step, index, batch, self.D, self.stages)
        return Draw(draws.orders(keys, self.shape), t, draws.dropout_keys(keys), weight)

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
        stage, t = self.split(draw.t)
        mask = draws.visible(draw.sigma, t)
        parameters = predict(x, mask, draw.t, *([draw.keys] if train else []))
        log_prob = self.output.log_prob(parameters, self.target(x, stage))
        terms = hidden_terms(log_prob, mask, t, self.stages)
        if draw.weight is None:
            return terms
        return terms._replace(ll=draw.weight * terms.ll, nelbo=draw.weight * terms.nelbo)

    def loss(self, terms: Terms, ce_weight: float) -> Float[Array, " b"]:
        """Give the training loss per example, in bits per dimension.

        `(nelbo + ce_weight * -ll) / (D ln 2)`, with the numbers of an image in place of D where
        the output generates several as one dimension; the second term weighs all generation steps
        alike.
        """
        return (terms.nelbo - ce_weight * terms.ll) / (self.values * log(2))


def hidden_terms(
    log_prob: Float[Array, "b h w m"],
    mask: Bool[Array, "b h w m"],
    t: Int[Array, " b"],
    stages: int = 1,
) -> Terms:
    """Sum the log-probabilities of the hidden dimensions and scale to the whole bound.

    Args:
        log_prob: of every dimension given the visible ones, in nats.
        mask: true where visible.
        t: number of visible dimensions.
        stages: S, all of which the bound sums up.

    Returns:
        Estimates per example, in nats.
    """
    dims = log_prob[0].size
    ll = jnp.where(mask, 0.0, log_prob).sum(axis=(1, 2, 3))
    nll_per_dim = -ll / (dims - t).astype(jnp.float32)
    return Terms(ll, nll_per_dim, stages * dims * nll_per_dim)

"""The objective of a model: generating an image in any order, in one stage or several."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from ardm.model import draws, policy
from ardm.model.coarsening import Stage
from ardm.model.output import Output

Predict = Callable[..., Float[Array, "b h w ..."]]
"""`predict(x, seen, t)`, or `predict(x, seen, t, keys)` with dropout; see `Objective.seen`."""


class Draw(NamedTuple):
    """The random draws behind the estimates of a batch, one per example."""

    sigma: Int[Array, "b h w m"]
    t: Int[Array, " b"]
    keys: Key[Array, " b"]
    """Keys for dropout."""
    weight: Float[Array, " b"] | None = None
    """Importance weights of the estimates; None where t is uniform."""


class Terms(NamedTuple):
    """Estimates per example, in nats.

    Attributes:
        ll: log-likelihood of all hidden dimensions together, times the importance weight.
        nll_per_dim: an unbiased sample of L[t], the expected negative log-likelihood of one
            dimension at step t.
        nelbo: an unbiased sample of the negative evidence lower bound.
    """

    ll: Float[Array, " b"]
    nll_per_dim: Float[Array, " b"]
    nelbo: Float[Array, " b"]


@dataclass(frozen=True)
class Objective(ABC):
    """Generation in any order, one dimension per step, in S stages of D steps.

    Step t is step t mod D of stage t // D.

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
        """S, the number of stages. Every stage generates every dimension, each time finer."""

    @property
    @abstractmethod
    def choices(self) -> int:
        """The number of values that a dimension can take when it is generated."""

    @property
    @abstractmethod
    def features(self) -> int:
        """The number of the network's outputs per pixel."""

    @property
    def D(self) -> int:  # noqa: N802
        """The number of dimensions, which every stage generates one by one."""
        height, width, channels = self.shape
        return height * width * channels

    @property
    def steps(self) -> int:
        """The number of generation steps, S D."""
        return self.stages * self.D

    @property
    def several_per_call(self) -> bool:
        """Whether one network call can generate several dimensions."""
        return True

    @property
    def natural_order(self) -> bool:
        """Whether dimensions are generated in their natural order, and in no other."""
        return False

    @property
    def exact_starts(self) -> Int[np.ndarray, " calls"]:
        """Start times of the network calls that compute an exact likelihood."""
        return policy.uniform(self.D, self.steps, self.stages)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return (*self.shape[:2], self.output.channels)

    @property
    def channels_per_entry(self) -> int:
        """The number of values that one entry of the mask hides."""
        return self.output.channels // self.output.mask_channels

    @property
    @abstractmethod
    def value_type(self) -> type[np.unsignedinteger[Any]]:
        """The type of the values of an image."""

    @property
    def values(self) -> int:
        """The number of values in one image, by which bits per dimension divide a bound.

        It exceeds D if the output generates all channels of a pixel as one dimension.
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
        """Turn the network's outputs into parameters of `output`.

        Args:
            features: the network's outputs.
            x: values; only the digits that earlier stages have generated are used.
            t: generation step of each example.

        Returns:
            Parameters, float32; logits are not normalized.
        """

    @abstractmethod
    def stage_keys(self, keys: Key[Array, " b"], stage: Stage) -> Key[Array, " b"]:
        """Derive from the keys of images the keys for their draws at a stage."""

    @abstractmethod
    def target(self, x: Integer[Array, "b h w c"], stage: Stage) -> Integer[Array, "b h w c"]:
        """What a stage generates, computed from whole images: their values or one digit of them."""

    @abstractmethod
    def written(
        self,
        x: Integer[Array, "b h w c"],
        drawn: Integer[Array, "b h w c"],
        stage: Stage,
    ) -> Integer[Array, "b h w c"]:
        """The values after a stage, computed from the values before it and its draws."""

    def orders(self, keys: Key[Array, " b"]) -> Int[Array, "b h w m"]:
        """Draw a generation order for each key: see `ardm.model.draws.orders`."""
        return draws.orders(keys, self.shape)

    def seen(
        self, sigma: Int[Array, "b h w m"], t: Int[Array, " b"]
    ) -> Bool[Array, "b h w m"] | Int[Array, "b h w m"]:
        """What the network receives about the order: the mask of visible dimensions at a step.

        Args:
            sigma: the order of each example.
            t: step within the stage, 0 .. D-1.
        """
        return draws.visible(sigma, t)

    def split(self, t: Int[Array, " b"]) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
        """Split step t into its stage and the number of dimensions that are visible there."""
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

        A uniform draw from all S D steps is a uniform draw of a stage and, independent of it, of a
        step of the stage.

        Args:
            key: key of the run.
            step: training step.
            index: index of each example in the global batch.
            batch: size of the global batch.
            t_sampling: how t is drawn. `uniform`: independently; `antithetic`: evenly spaced over
                the global batch; `importance`: likewise, with more steps where gradients are large.

        Returns:
            The draws; those of an example are the same bits whatever else is in `index`.
        """
        keys = draws.example_keys(key, step, index)
        weight = None
        if t_sampling == "uniform":
            t = draws.uniform_times(keys, self.steps)
        elif t_sampling == "antithetic":
            t = draws.antithetic_times(key, step, index, batch, self.steps)
        else:
            t, weight = draws.importance_times(key, step, index, batch, self.D, self.stages)
        return Draw(self.orders(keys), t, draws.dropout_keys(keys), weight)

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
            draw: the random draws of each example, from `draw`.
            train: whether dropout is on.

        Returns:
            Estimates per example, in nats, float32.
        """
        stage, t = self.split(draw.t)
        seen = self.seen(draw.sigma, t)
        parameters = predict(x, seen, draw.t, *([draw.keys] if train else []))
        log_prob = self.output.log_prob(parameters, self.target(x, stage))
        terms = hidden_terms(log_prob, draws.visible(draw.sigma, t), t, self.stages)
        if draw.weight is None:
            return terms
        return terms._replace(ll=draw.weight * terms.ll, nelbo=draw.weight * terms.nelbo)

    def loss(self, terms: Terms, ce_weight: float) -> Float[Array, " b"]:
        """The training loss per example, in bits per dimension.

        It is `(nelbo + ce_weight * -ll) / (values ln 2)`. In the first term every hidden dimension
        weighs S D / (D - t); in the second, all generation steps weigh alike.
        """
        return (terms.nelbo - ce_weight * terms.ll) / (self.values * log(2))


def hidden_terms(
    log_prob: Float[Array, "b h w m"],
    mask: Bool[Array, "b h w m"],
    t: Int[Array, " b"],
    stages: int = 1,
) -> Terms:
    """Sum the log-probabilities of the hidden dimensions, and scale the sum to the whole bound.

    Args:
        log_prob: log-probability of every dimension given the visible ones, in nats.
        mask: true where a dimension is visible.
        t: number of visible dimensions of each example.
        stages: S, the number of stages; the bound is the sum over all of them.

    Returns:
        Estimates per example, in nats.
    """
    dims = log_prob[0].size
    ll = jnp.where(mask, 0.0, log_prob).sum(axis=(1, 2, 3))
    nll_per_dim = -ll / (dims - t).astype(jnp.float32)
    return Terms(ll, nll_per_dim, stages * dims * nll_per_dim)

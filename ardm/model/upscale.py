"""The objective of Upscale ARDM (section 3.2 of arXiv 2110.02037)."""

from dataclasses import dataclass

from jaxtyping import Array, Float, Int, Integer, Key

from ardm.model import draws
from ardm.model.categorical import Categorical
from ardm.model.children import Parametrisation
from ardm.model.coarsening import Coarsening, Stage
from ardm.model.objective import (
    Draw,
    Predict,
    Terms,
    bits_per_value,
    hidden_terms,
    random_draw,
)


@dataclass(frozen=True)
class Upscale:
    """Generation from coarse to fine, at each stage in any order, one digit per step.

    The S stages of D steps follow upon each other: step t is step t mod D of stage t // D.

    Attributes:
        parametrisation: how the network's outputs become logits of digits.
        shape: height, width and channels of one image.
    """

    parametrisation: Parametrisation
    shape: tuple[int, int, int]

    @property
    def coarsening(self) -> Coarsening:
        """The stages of a value."""
        return self.parametrisation.coarsening

    @property
    def output(self) -> Categorical:
        """The distribution of a digit."""
        return Categorical(self.shape[2], self.coarsening.branch)

    @property
    def D(self) -> int:  # noqa: N802
        """The number of dimensions generated one by one, at every stage anew."""
        height, width, channels = self.shape
        return height * width * channels

    @property
    def stages(self) -> int:
        """S, the number of stages."""
        return self.coarsening.stages

    @property
    def steps(self) -> int:
        """The number of generation steps, S D."""
        return self.stages * self.D

    @property
    def values(self) -> int:
        """The numbers in one image, over which a bound is divided to give bits per dimension."""
        return self.D

    @property
    def choices(self) -> int:
        """How many values a dimension can take at its step: the branch factor."""
        return self.output.classes

    @property
    def features(self) -> int:
        """How many numbers per pixel the network gives."""
        return self.parametrisation.features

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return self.shape

    def split(self, t: Int[Array, " b"]) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
        """The stage of a step, and the number of dimensions visible at it."""
        return t // self.D, t % self.D

    def stage_keys(self, keys: Key[Array, " b"], stage: Stage) -> Key[Array, " b"]:
        """The keys from which the images of these keys draw at a stage: every stage has its own."""
        return draws.stream(keys, stage)

    def target(self, x: Integer[Array, "b h w c"], stage: Stage) -> Integer[Array, "b h w c"]:
        """What a stage generates of images: one digit of each value."""
        return self.coarsening.digit(x, stage)

    def written(
        self,
        x: Integer[Array, "b h w c"],
        drawn: Integer[Array, "b h w c"],
        stage: Stage,
    ) -> Integer[Array, "b h w c"]:
        """The values once a stage has drawn their digits, where they hold the previous ones."""
        return self.coarsening.child(x, drawn, stage)

    def parameters(
        self,
        features: Float[Array, "b h w f"],
        x: Integer[Array, "b h w c"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b h w c n"]:
        """Logits of the digits that the stage of `t` chooses, given the previous values.

        Args:
            features: the network's outputs.
            x: values, of which only the digits of earlier stages are looked at.
            t: generation step of each example.

        Returns:
            Logits, float32, not normalised.
        """
        stage, _ = self.split(t)
        previous = self.coarsening.previous(x, stage)
        return self.parametrisation.children(features, previous, stage)

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
            predict: the network with its parameters; it gives logits of digits.
            x: values 0 .. K-1.
            draw: order and generation step of each example.
            train: whether dropout is on.

        Returns:
            Estimates per example, in nats, float32: `ll` of the hidden digits of the stage,
            `nll_per_dim` of one digit at step t, `nelbo` of all stages together.
        """
        stage, t = self.split(draw.t)
        mask = draws.visible(draw.sigma, t)
        parameters = predict(x, mask, draw.t, *([draw.keys] if train else []))
        log_prob = self.output.log_prob(parameters, self.target(x, stage))
        terms = hidden_terms(log_prob, mask, t)
        return terms._replace(nelbo=self.stages * terms.nelbo)

    def loss(self, terms: Terms, ce_weight: float) -> Float[Array, " b"]:
        """Give the training loss per example, in bits per dimension.

        `(nelbo + ce_weight * -ll) / (D ln 2)`; the second term weighs all generation steps alike.
        """
        return bits_per_value(terms, ce_weight, self.values)

"""Upscale ARDM (section 3.2 of arXiv 2110.02037): the objective, and how children get logits."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer, Key

from ardm.model import draws
from ardm.model.coarsening import Coarsening, Stage
from ardm.model.objective import Objective
from ardm.model.output import Categorical

IMPOSSIBLE = -1e30
"""As good as minus infinity, but a finite number: sums of nothing else keep finite gradients."""

Logits = Float[Array, "b h w c n"]
Previous = Int[Array, "b h w c"]


@dataclass(frozen=True)
class DataParametrisation:
    """K logits per dimension, of the value itself: one distribution for all stages.

    Attributes:
        channels: channels of the image.
        coarsening: the stages.
    """

    channels: int
    coarsening: Coarsening

    @property
    def features(self) -> int:
        """How many numbers per pixel the network gives."""
        return self.channels * self.coarsening.classes

    def children(
        self, features: Float[Array, "b h w f"], previous: Previous, stage: Int[Array, " b"]
    ) -> Logits:
        """Sum the probabilities of the values below each child of the previous value.

        Args:
            features: the network's outputs.
            previous: the values before the stage.
            stage: of each image.

        Returns:
            Logits of the children, float32, not normalised. All sums are taken in log space.
        """
        ladder = self.coarsening
        logits = features.reshape(*features.shape[:3], self.channels, ladder.classes)
        spare = ladder.branch**ladder.stages - ladder.classes
        mass = jnp.pad(
            logits.astype(jnp.float32),
            ((0, 0), (0, 0), (0, 0), (0, 0), (0, spare)),
            constant_values=IMPOSSIBLE,
        )
        found = jnp.zeros((*previous.shape, ladder.branch), jnp.float32)
        # Finest stage first: the sums of one resolution are the terms of the next coarser one.
        for resolution in range(ladder.stages):
            families = mass.reshape(*previous.shape, -1, ladder.branch)
            family = previous // ladder.branch ** (resolution + 1)
            own = jnp.take_along_axis(families, family[..., None, None], axis=-2)[..., 0, :]
            here = (stage == ladder.stages - 1 - resolution)[:, None, None, None, None]
            found = jnp.where(here, own, found)
            mass = jax.nn.logsumexp(families, axis=-1)
        return found


@dataclass(frozen=True)
class DirectParametrisation:
    """b logits per dimension and stage, of the digit that the stage chooses.

    Attributes:
        channels: channels of the image.
        coarsening: the stages.
    """

    channels: int
    coarsening: Coarsening

    @property
    def features(self) -> int:
        """How many numbers per pixel the network gives."""
        return self.channels * self.coarsening.stages * self.coarsening.branch

    def children(
        self, features: Float[Array, "b h w f"], previous: Previous, stage: Int[Array, " b"]
    ) -> Logits:
        """Take the logits of the stage, without the children that do not exist.

        Args:
            features: the network's outputs.
            previous: the values before the stage.
            stage: of each image.

        Returns:
            Logits of the children, float32, not normalised.
        """
        ladder = self.coarsening
        logits = features.reshape(
            *features.shape[:3], self.channels, ladder.stages, ladder.branch
        ).astype(jnp.float32)
        at = stage[:, None, None, None, None, None]
        own = jnp.take_along_axis(logits, at, axis=-2)[..., 0, :]
        exists = [
            ladder.child(previous, jnp.full_like(previous, digit), stage) < ladder.classes
            for digit in range(ladder.branch)
        ]
        return jnp.where(jnp.stack(exists, axis=-1), own, IMPOSSIBLE)


Parametrisation = DataParametrisation | DirectParametrisation


@dataclass(frozen=True)
class Upscale(Objective):
    """Generation from coarse to fine, at each stage in any order, one digit per step.

    Attributes:
        parametrisation: how the network's outputs become logits of digits.
    """

    parametrisation: Parametrisation

    @property
    def coarsening(self) -> Coarsening:
        """The stages of a value."""
        return self.parametrisation.coarsening

    @property
    def output(self) -> Categorical:
        return Categorical(self.shape[2], self.coarsening.branch)

    @property
    def stages(self) -> int:
        return self.coarsening.stages

    @property
    def choices(self) -> int:
        return self.output.classes

    @property
    def features(self) -> int:
        return self.parametrisation.features

    def parameters(
        self,
        features: Float[Array, "b h w f"],
        x: Integer[Array, "b h w c"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b h w c n"]:
        stage, _ = self.split(t)
        previous = self.coarsening.previous(x, stage)
        return self.parametrisation.children(features, previous, stage)

    def stage_keys(self, keys: Key[Array, " b"], stage: Stage) -> Key[Array, " b"]:
        return draws.stream(keys, stage)

    def target(self, x: Integer[Array, "b h w c"], stage: Stage) -> Integer[Array, "b h w c"]:
        return self.coarsening.digit(x, stage)

    def written(
        self,
        x: Integer[Array, "b h w c"],
        drawn: Integer[Array, "b h w c"],
        stage: Stage,
    ) -> Integer[Array, "b h w c"]:
        return self.coarsening.child(x, drawn, stage)

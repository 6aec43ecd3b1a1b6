"""Upscale ARDM (section 3.2 of arXiv 2110.02037): the objective and its parametrizations."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key

from ardm.model import draws
from ardm.model.coarsening import Coarsening, Stage
from ardm.model.objective import Objective
from ardm.model.output import Categorical, value_type

IMPOSSIBLE = -1e30
"""Logit of a child that does not exist. It is finite, because a logsumexp over infinities only has
no finite gradient."""

Logits = Float[Array, "b h w c n"]
Previous = Int[Array, "b h w c"]


@dataclass(frozen=True)
class DataParametrization:
    """K logits per dimension, of the value itself: all stages share one distribution.

    Attributes:
        channels: channels of the image.
        coarsening: the stages.
    """

    channels: int
    coarsening: Coarsening

    @property
    def features(self) -> int:
        """The number of the network's outputs per pixel."""
        return self.channels * self.coarsening.classes

    def children(
        self, features: Float[Array, "b h w f"], previous: Previous, stage: Int[Array, " b"]
    ) -> Logits:
        """The logit of a child is the logsumexp of the logits of all values below it.

        Args:
            features: the network's outputs.
            previous: the values before the stage.
            stage: number of the stage of each image.

        Returns:
            Logits of the children, float32, not normalized.
        """
        coarsening = self.coarsening
        logits = features.reshape(*features.shape[:3], self.channels, coarsening.classes)
        mass = coarsening.by_code(logits.astype(jnp.float32), IMPOSSIBLE)
        children = jnp.zeros((*previous.shape, coarsening.branch), jnp.float32)
        # Finest stage first: the sums at one resolution are the terms at the next coarser one.
        for resolution in range(coarsening.stages):
            mass = _padded(mass, coarsening.branch)
            families = mass.reshape(*previous.shape, -1, coarsening.branch)
            family = coarsening.family(previous, resolution)
            own = jnp.take_along_axis(families, family[..., None, None], axis=-2)[..., 0, :]
            at_stage = (stage == coarsening.stages - 1 - resolution)[:, None, None, None, None]
            children = jnp.where(at_stage, own, children)
            mass = jax.nn.logsumexp(families, axis=-1)
        return children


@dataclass(frozen=True)
class DirectParametrization:
    """b logits per dimension and stage, of the digit that the stage generates.

    Attributes:
        channels: channels of the image.
        coarsening: the stages.
    """

    channels: int
    coarsening: Coarsening

    @property
    def features(self) -> int:
        """The number of the network's outputs per pixel."""
        return self.channels * self.coarsening.stages * self.coarsening.branch

    def children(
        self, features: Float[Array, "b h w f"], previous: Previous, stage: Int[Array, " b"]
    ) -> Logits:
        """Take the logits of the stage; children that do not exist get the logit `IMPOSSIBLE`.

        Args:
            features: the network's outputs.
            previous: the values before the stage.
            stage: number of the stage of each image.

        Returns:
            Logits of the children, float32, not normalized.
        """
        coarsening = self.coarsening
        logits = features.reshape(
            *features.shape[:3], self.channels, coarsening.stages, coarsening.branch
        ).astype(jnp.float32)
        at = stage[:, None, None, None, None, None]
        own = jnp.take_along_axis(logits, at, axis=-2)[..., 0, :]
        exists = [
            coarsening.child(previous, jnp.full_like(previous, digit), stage) < coarsening.classes
            for digit in range(coarsening.branch)
        ]
        return jnp.where(jnp.stack(exists, axis=-1), own, IMPOSSIBLE)


def _padded(mass: Float[Array, "... n"], multiple: int) -> Float[Array, "... m"]:
    padding = -mass.shape[-1] % multiple
    if not padding:
        return mass
    return jnp.pad(mass, [(0, 0)] * (mass.ndim - 1) + [(0, padding)], constant_values=IMPOSSIBLE)


Parametrization = DataParametrization | DirectParametrization


@dataclass(frozen=True)
class Upscale(Objective):
    """Generation from coarse to fine: every stage generates one digit of each value, in any order.

    Attributes:
        parametrization: how the network's outputs become logits of digits.
    """

    parametrization: Parametrization

    @property
    def coarsening(self) -> Coarsening:
        """The stages of a value."""
        return self.parametrization.coarsening

    @property
    def output(self) -> Categorical:
        return Categorical(self.shape[2], self.coarsening.branch)

    @property
    def value_type(self) -> type[np.unsignedinteger[Any]]:
        return value_type(self.coarsening.classes)

    @property
    def stages(self) -> int:
        return self.coarsening.stages

    @property
    def choices(self) -> int:
        return self.output.classes

    @property
    def features(self) -> int:
        return self.parametrization.features

    def parameters(
        self,
        features: Float[Array, "b h w f"],
        x: Integer[Array, "b h w c"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b h w c n"]:
        stage, _ = self.split(t)
        previous = self.coarsening.previous(x, stage)
        return self.parametrization.children(features, previous, stage)

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

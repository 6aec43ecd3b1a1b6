"""The objective of Upscale ARDM (section 3.2 of arXiv 2110.02037)."""

from dataclasses import dataclass

from jaxtyping import Array, Float, Int, Integer, Key

from ardm.model import draws
from ardm.model.categorical import Categorical
from ardm.model.children import Parametrisation
from ardm.model.coarsening import Coarsening, Stage
from ardm.model.objective import Objective


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

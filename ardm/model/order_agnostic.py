"""The order-agnostic objective (section 3 of arXiv 2110.02037)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key

from ardm.model.coarsening import Stage
from ardm.model.objective import Objective
from ardm.model.output import Output, value_type


@dataclass(frozen=True)
class OrderAgnostic(Objective):
    """Generation in any order, in one stage: each dimension is generated once.

    Attributes:
        distribution: output distribution of a dimension.
    """

    distribution: Output

    @property
    def output(self) -> Output:
        return self.distribution

    @property
    def value_type(self) -> type[np.unsignedinteger[Any]]:
        return value_type(self.output.classes)

    @property
    def stages(self) -> int:
        return 1

    @property
    def choices(self) -> int:
        return self.output.classes ** (self.output.channels // self.output.mask_channels)

    @property
    def features(self) -> int:
        return self.output.features

    def parameters(
        self,
        features: Float[Array, "b h w f"],
        x: Integer[Array, "b h w c"],
        t: Int[Array, " b"],
    ) -> Float[Array, "b h w ..."]:
        return self.output.parameters(features)

    def stage_keys(self, keys: Key[Array, " b"], stage: Stage) -> Key[Array, " b"]:
        return keys

    def target(self, x: Integer[Array, "b h w c"], stage: Stage) -> Integer[Array, "b h w c"]:
        return x

    def written(
        self,
        x: Integer[Array, "b h w c"],
        drawn: Integer[Array, "b h w c"],
        stage: Stage,
    ) -> Integer[Array, "b h w c"]:
        return drawn

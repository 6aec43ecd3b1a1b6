"""Coarse values and their children: the steps by which Upscale ARDM refines a value.

Section 3.2 of arXiv 2110.02037. A value 0 .. K-1 is written with S digits to the base b, the branch
factor. At resolution r its r lowest digits are set to zero: resolution S is 0 for all values,
resolution 0 is the value. Stage s (0 is the coarsest) goes from resolution S - s to S - 1 - s by
choosing one digit.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Int, Integer

Values = Int[Array, "b h w c"]
Stage = int | Int[Array, ""] | Int[Array, " b"]
"""Of the whole batch, or of each image."""


@dataclass(frozen=True)
class Coarsening:
    """The stages of K classes with branch factor b.

    Attributes:
        classes: K.
        branch: b, at least 2.
    """

    classes: int
    branch: int

    @property
    def stages(self) -> int:
        """S, the smallest number of digits with which K values can be written."""
        stages = 1
        while self.branch**stages < self.classes:
            stages += 1
        return stages

    def coarse(
        self, x: Integer[Array, "..."], resolution: int | Int[Array, "..."]
    ) -> Int[Array, "..."]:
        """Set the lowest digits of the values to zero.

        Args:
            x: values 0 .. K-1.
            resolution: how many digits, 0 .. S; broadcast against `x`.

        Returns:
            `(x // b**r) * b**r`, int32.
        """
        unit = self._unit(resolution)
        return x.astype(jnp.int32) // unit * unit

    def previous(self, x: Integer[Array, "b h w c"], stage: Stage) -> Values:
        """The values as they are before a stage, 0 .. S; 0 before the first, whole before S."""
        return self.coarse(x, self.stages - _per_image(stage))

    def digit(self, x: Integer[Array, "b h w c"], stage: Stage) -> Values:
        """The digit, 0 .. b-1, that a stage chooses for each of the values `x`."""
        unit = self._unit(self.stages - 1 - _per_image(stage))
        return x.astype(jnp.int32) // unit % self.branch

    def child(
        self,
        previous: Integer[Array, "b h w c"],
        digit: Integer[Array, "b h w c"],
        stage: Stage,
    ) -> Values:
        """The value after a stage, from the one before it and the digit that it chooses.

        It may exceed K - 1 where K is no power of b: such a child has no probability.
        """
        unit = self._unit(self.stages - 1 - _per_image(stage))
        return previous.astype(jnp.int32) + digit.astype(jnp.int32) * unit

    @property
    def identities(self) -> int:
        """How many coarse values of all resolutions there are, equal ones told apart."""
        return self._offsets[-1] + 1

    def identity(
        self, x: Integer[Array, "..."], resolution: int | Int[Array, "..."]
    ) -> Int[Array, "..."]:
        """Number the coarse values of all resolutions: those of resolution 0 by themselves.

        Args:
            x: values 0 .. K-1; the digits below `resolution` are not looked at.
            resolution: 0 .. S, broadcast against `x`.

        Returns:
            0 .. `identities` - 1, int32: resolution r follows upon resolution r - 1.
        """
        offset = jnp.asarray(self._offsets, jnp.int32)[resolution]
        return offset + x.astype(jnp.int32) // self._unit(resolution)

    @property
    def _offsets(self) -> tuple[int, ...]:
        """By resolution, the number of its lowest value."""
        offsets = [0]
        for resolution in range(self.stages):
            offsets.append(offsets[-1] + -(-self.classes // self.branch**resolution))
        return tuple(offsets)

    def _unit(self, resolution: int | Int[Array, "..."]) -> Int[Array, "..."]:
        units = [self.branch**r for r in range(self.stages + 1)]
        return jnp.asarray(units, jnp.int32)[resolution]


def _per_image(stage: Stage) -> Int[Array, "b 1 1 1"]:
    return jnp.asarray(stage, jnp.int32).reshape(-1, 1, 1, 1)

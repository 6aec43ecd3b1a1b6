"""Coarse values and their children: the steps by which Upscale ARDM refines a value.

Section 3.2 of arXiv 2110.02037. A value 0 .. K-1 is written with S digits to the base b, the branch
factor. At resolution r its r lowest digits are set to zero: resolution S is 0 for all values,
resolution 0 is the value. Stage s (0 is the coarsest) goes from resolution S - s to S - 1 - s by
choosing one digit.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

Values = Int[Array, "b h w c"]
Stage = int | Int[Array, ""] | Int[Array, " b"]
"""Number of a stage: one for the whole batch, or one per image."""


@dataclass(frozen=True)
class Coarsening:
    """The stages of K classes with branch factor b.

    Attributes:
        classes: K, the number of values.
        branch: b, the branch factor, at least 2.
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
            resolution: r, the number of digits set to zero, 0 .. S; broadcast against `x`.

        Returns:
            `(x // b**r) * b**r`, int32.
        """
        unit = self._unit(resolution)
        return x.astype(jnp.int32) // unit * unit

    def previous(self, x: Integer[Array, "b h w c"], stage: Stage) -> Values:
        """The coarse values before a stage; before the first stage all of them are 0."""
        return self.coarse(x, self.stages - per_image(stage))

    def digit(self, x: Integer[Array, "b h w c"], stage: Stage) -> Values:
        """The digit, 0 .. b-1, that a stage chooses for each of the values `x`."""
        unit = self._unit(self.stages - 1 - per_image(stage))
        return x.astype(jnp.int32) // unit % self.branch

    def child(
        self,
        previous: Integer[Array, "b h w c"],
        digit: Integer[Array, "b h w c"],
        stage: Stage,
    ) -> Values:
        """The value after a stage, computed from the value before it and the chosen digit.

        If K is not a power of b, the result can exceed K - 1; such children have probability 0.
        """
        unit = self._unit(self.stages - 1 - per_image(stage))
        return previous.astype(jnp.int32) + digit.astype(jnp.int32) * unit

    @property
    def identities(self) -> int:
        """The number of pairs of a resolution and a coarse value at that resolution."""
        return self._offsets[-1] + 1

    def identity(
        self, x: Integer[Array, "..."], resolution: int | Int[Array, "..."]
    ) -> Int[Array, "..."]:
        """Give every pair of a resolution and a coarse value a number of its own.

        At resolution 0 the number is the value itself.

        Args:
            x: values 0 .. K-1; their `resolution` lowest digits are ignored.
            resolution: 0 .. S, broadcast against `x`.

        Returns:
            Numbers 0 .. `identities` - 1, int32; those of resolution r follow those of r - 1.
        """
        offset = jnp.asarray(self._offsets, jnp.int32)[resolution]
        return offset + x.astype(jnp.int32) // self._unit(resolution)

    def by_code(self, x: Float[Array, "... k"], missing: float) -> Float[Array, "... codes"]:
        """Sort entries of all values by their codes, so that families are next to each other.

        The code of a value is the number that its S digits to the base b make.

        Args:
            x: one entry for each value 0 .. K-1.
            missing: entry of the codes that no value has.

        Returns:
            One entry for each code, up to the last family that has members.
        """
        padding = self.branch**self.stages - self.classes
        return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, padding)], constant_values=missing)

    def family(self, x: Int[Array, "..."], resolution: int) -> Int[Array, "..."]:
        """The number of the family that the children of `x` at a resolution form."""
        return x // self.branch ** (resolution + 1)

    @property
    def _offsets(self) -> tuple[int, ...]:
        """For each resolution, the number that `identity` gives to its lowest value."""
        offsets = [0]
        for resolution in range(self.stages):
            offsets.append(offsets[-1] + -(-self.classes // self.branch**resolution))
        return tuple(offsets)

    def _unit(self, resolution: int | Int[Array, "..."]) -> Int[Array, "..."]:
        units = [self.branch**r for r in range(self.stages + 1)]
        return jnp.asarray(units, jnp.int32)[resolution]


def per_image(stage: Stage) -> Int[Array, "b 1 1 1"]:
    """The number of a stage in a shape that broadcasts with values."""
    return jnp.asarray(stage, jnp.int32).reshape(-1, 1, 1, 1)

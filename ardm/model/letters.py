"""The stages of Upscale ARDM for text: from nothing to the kind of a character, then to itself."""

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer

from ardm.model.characters import kinds
from ardm.model.coarsening import Coarsening, Stage, Values, per_image


@dataclass(frozen=True)
class LetterKinds(Coarsening):
    """Two stages: the first chooses the kind of a character, the second the character.

    A coarse value is the first character of its kind. The digit of the second stage counts the
    characters of a kind. So b is the number of characters of the largest kind.
    """

    @classmethod
    def of(cls, classes: int) -> "LetterKinds":
        """The stages of an alphabet with K classes, which is `TEXT8` or `BYTES`."""
        return cls(classes, int(np.bincount(kinds(classes)).max()))

    @property
    def stages(self) -> int:
        return 2

    @cached_property
    def _digits(self) -> Int[np.ndarray, "2 k"]:
        """The digit of every value at each stage."""
        kind = np.array(kinds(self.classes))
        place = [int((kind[:value] == kind[value]).sum()) for value in range(self.classes)]
        return np.stack([kind, np.array(place)])

    @cached_property
    def _coarse(self) -> Int[np.ndarray, "3 k"]:
        """The coarse value of every value at resolutions 0, 1 and 2."""
        kind = self._digits[0]
        first = np.array([int(np.flatnonzero(kind == own)[0]) for own in kind])
        return np.stack([np.arange(self.classes), first, np.zeros_like(first)])

    @cached_property
    def _children(self) -> Int[np.ndarray, "2 k b"]:
        """The value after each stage, by value and digit; K where there is none."""
        table = np.full((2, self.classes, self.branch), self.classes)
        kind, place = self._digits
        table[0][:, kind] = self._coarse[1]
        for value in range(self.classes):
            table[1][kind == kind[value], place[value]] = value
        return table

    def coarse(
        self, x: Integer[Array, "..."], resolution: int | Int[Array, "..."]
    ) -> Int[Array, "..."]:
        return jnp.asarray(self._coarse, jnp.int32)[resolution, x]

    def digit(self, x: Integer[Array, "b h w c"], stage: Stage) -> Values:
        return jnp.asarray(self._digits, jnp.int32)[per_image(stage), x]

    def child(
        self, previous: Integer[Array, "b h w c"], digit: Integer[Array, "b h w c"], stage: Stage
    ) -> Values:
        return jnp.asarray(self._children, jnp.int32)[per_image(stage), previous, digit]

    @property
    def identities(self) -> int:
        return self.classes + int(self._digits[0].max()) + 2

    def identity(
        self, x: Integer[Array, "..."], resolution: int | Int[Array, "..."]
    ) -> Int[Array, "..."]:
        kind = self._digits[0]
        rows = np.stack(
            [np.arange(self.classes), self.classes + kind, np.full_like(kind, self.identities - 1)]
        )
        return jnp.asarray(rows, jnp.int32)[resolution, x]

    def by_code(self, x: Float[Array, "... k"], missing: float) -> Float[Array, "... codes"]:
        codes = self._digits[0] * self.branch + self._digits[1]
        filled = np.full((self._digits[0].max() + 1) * self.branch, self.classes)
        filled[codes] = np.arange(self.classes)
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 1)], constant_values=missing)
        return padded[..., filled]

    def family(self, x: Int[Array, "..."], resolution: int) -> Int[Array, "..."]:
        return jnp.zeros_like(x) if resolution else jnp.asarray(self._digits[0], jnp.int32)[x]

"""Shuffled and augmented batches, computed from the step: no iterator state must be saved."""

import numpy as np

from ardm.data.binarize import binarize_batch
from ardm.data.config import AugmentConfig
from ardm.data.crops import Crops
from ardm.data.dataset import Images

NOTHING = AugmentConfig()
"""No augmentation."""


def augment(images: Images, config: AugmentConfig, seed: int, step: int, start: int) -> Images:
    """Augment the images of a batch, or of a part of one.

    The image at index i of the batch is changed by the i-th raw output of a generator that is
    seeded with `seed` and `step`. NumPy guarantees that this stream never changes (NEP 19).

    Args:
        images: uint8 `[n, H, W, C]`, the images at `start, start + 1, ...` in the batch. H must
            equal W if there are quarter turns.
        config: the augmentations. The flip comes first, then the turn (counterclockwise).
        seed: seed of the run.
        step: training step, from 0.
        start: index of the first image in the whole batch.

    Returns:
        uint8 `[n, H, W, C]`, a new array.
    """
    bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(step,)))
    draws = bits.advance(start).random_raw(len(images))
    augmented = images.copy()
    if config.flip:
        flipped = draws >> np.uint64(63) == 1
        augmented[flipped] = augmented[flipped, :, ::-1]
    if config.quarter_turns:
        turns = draws >> np.uint64(61) & np.uint64(3)
        for number in (1, 2, 3):
            chosen = turns == number
            augmented[chosen] = np.rot90(augmented[chosen], number, axes=(1, 2))
    return augmented


class Batches:
    """An endless sequence of batches, each a function of the seed and its step alone.

    The images form an endless sequence of epochs. An epoch holds each of the N images once, in an
    order of its own. Step s takes the examples from `s * batch_size` on. If the batch size does not
    divide N, some batches begin in one epoch and end in the next, so no image is dropped; only
    these batches can hold an image twice.

    The permutations are those of Grain's index shuffle. They are computed index by index, never
    stored, and seeded with a hash of `seed` plus the epoch.
    """

    def __init__(
        self,
        images: Images | Crops,
        batch_size: int,
        seed: int,
        changes: AugmentConfig = NOTHING,
        *,
        binarized: bool = False,
    ) -> None:
        """Prepare the sequence of batches.

        Args:
            images: `[N, H, W, C]`, N at least 1; the array is not copied.
            batch_size: B, the number of examples per step.
            seed: seed of the run, not negative.
            changes: augmentation of the images, by default none.
            binarized: whether the images are gray values that are binarized at random each time
                they are used.
        """
        # Imported on use: it imports jax and orbax, which takes seconds.
        import grain

        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.changes = changes
        self.binarized = binarized
        self._order = grain.MapDataset.range(len(images)).seed(seed).shuffle().repeat()

    def __getitem__(self, step: int) -> Images:
        """The whole batch of a step.

        Args:
            step: training step, from 0.

        Returns:
            uint8 `[B, H, W, C]`.
        """
        return self.slice(step, 0, self.batch_size)

    def slice(self, step: int, start: int, stop: int) -> Images:
        """A part of the batch of a step; the other examples are not computed.

        Args:
            step: training step, from 0.
            start: index of the first example in the batch.
            stop: one past the index of the last example in the batch.

        Returns:
            uint8 `[stop - start, H, W, C]`, equal to `batches[step][start:stop]`.

        Raises:
            IndexError: the step is negative, or the part is not inside the batch.
        """
        if step < 0 or not 0 <= start <= stop <= self.batch_size:
            raise IndexError(
                f"expected a step of 0 or more and 0 <= start <= stop <= {self.batch_size}, "
                f"received step {step}, start {start}, stop {stop}"
            )
        first = step * self.batch_size
        images = self.images[[self._order[first + index] for index in range(start, stop)]]
        if self.changes != NOTHING:
            images = augment(images, self.changes, self.seed, step, start)
        if self.binarized:
            images = binarize_batch(images, self.seed, step, start)
        return images

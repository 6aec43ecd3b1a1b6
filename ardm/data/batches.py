"""Shuffled and augmented batches by number: there is no iterator whose state must be saved."""

import numpy as np

from ardm.data.binarize import binarize_batch
from ardm.data.config import AugmentConfig
from ardm.data.dataset import Images

NOTHING = AugmentConfig()


def augment(images: Images, config: AugmentConfig, seed: int, step: int, start: int) -> Images:
    """Change the images of a batch, or of a part of one.

    The image at index i of the batch is changed by the i-th raw output of a generator that is
    seeded with `seed` and `step`: the stream that numpy promises not to change (NEP 19).

    Args:
        images: uint8 `[n, H, W, C]`, those at `start, start + 1, ...` in the batch; H equals W
            where there are quarter turns.
        config: what is done; first the flip, then the turn (anticlockwise).
        seed: of the run.
        step: training step, from 0.
        start: index in the whole batch of the first of the images.

    Returns:
        uint8 `[n, H, W, C]`, an array of its own.
    """
    bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(step,)))
    draws = bits.advance(start).random_raw(len(images))
    changed = images.copy()
    if config.flip:
        flipped = draws >> np.uint64(63) == 1
        changed[flipped] = changed[flipped, :, ::-1]
    if config.quarter_turns:
        turns = draws >> np.uint64(61) & np.uint64(3)
        for number in (1, 2, 3):
            chosen = turns == number
            changed[chosen] = np.rot90(changed[chosen], number, axes=(1, 2))
    return changed


class Batches:
    """An endless sequence of batches, each a function of the seed and its step alone.

    The images are dealt from one endless sequence, which is a permutation of all images, then
    another one, and so on: every epoch of N examples holds every image once, in an order of its
    own. Step s takes the examples from `s * batch_size` on. Where the batch size does not divide
    N, a batch begins in one epoch and ends in the next, so nothing is dropped, and that batch
    alone may hold an image twice.

    The permutations are Grain's index shuffle: computed by index, never stored, and seeded with
    a hash of `seed` plus the epoch.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        seed: int,
        changes: AugmentConfig = NOTHING,
        *,
        binarized: bool = False,
    ) -> None:
        """Prepare to deal.

        Args:
            images: uint8 `[N, H, W, C]`, N at least 1; not copied.
            batch_size: examples per step, B.
            seed: non-negative.
            changes: random flips and turns of what is dealt, by default none.
            binarized: whether the images are gray values, of which binary ones are dealt, drawn
                anew each time.
        """
        # Imported on use: with what it brings (jax, orbax) it takes seconds.
        import grain

        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.changes = changes
        self.binarized = binarized
        self._order = grain.MapDataset.range(len(images)).seed(seed).shuffle().repeat()

    def __getitem__(self, step: int) -> Images:
        """Deal a whole batch.

        Args:
            step: training step, from 0.

        Returns:
            uint8 `[B, H, W, C]`.
        """
        return self.slice(step, 0, self.batch_size)

    def slice(self, step: int, start: int, stop: int) -> Images:
        """Deal a part of a batch, reading only those examples.

        Args:
            step: training step, from 0.
            start: index in the batch of the first example.
            stop: index in the batch after the last example.

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
        dealt = self.images[[self._order[first + index] for index in range(start, stop)]]
        if self.changes != NOTHING:
            dealt = augment(dealt, self.changes, self.seed, step, start)
        if self.binarized:
            dealt = binarize_batch(dealt, self.seed, step, start)
        return dealt

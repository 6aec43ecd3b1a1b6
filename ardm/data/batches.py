"""Shuffled batches by number, without an iterator whose state would have to be saved."""

from ardm.data.augment import augment
from ardm.data.binarize import binarize_batch
from ardm.data.config import AugmentConfig
from ardm.data.dataset import Images

NOTHING = AugmentConfig()


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

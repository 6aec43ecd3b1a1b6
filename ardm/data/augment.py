"""Random flips and quarter turns, each a function of the seed, the step and the place in the batch.

An addition to the data, not a part of the model: the likelihood that is reported is that of the
images as they are.
"""

import numpy as np

from ardm.data.config import AugmentConfig
from ardm.data.dataset import Images


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

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardm.data.batches import augment
from ardm.data.config import AugmentConfig

FLIP = AugmentConfig(flip=True)
TURN = AugmentConfig(quarter_turns=True)
BOTH = AugmentConfig(flip=True, quarter_turns=True)

IMAGE = np.arange(18, dtype=np.uint8).reshape(3, 3, 2)


def symmetries(config: AugmentConfig) -> list[bytes]:
    """All images that augmentation can make of IMAGE."""
    flips = (IMAGE, IMAGE[:, ::-1]) if config.flip else (IMAGE,)
    turns = range(4) if config.quarter_turns else range(1)
    return [np.rot90(flip, turn).tobytes() for flip, turn in itertools.product(flips, turns)]


@settings(deadline=None, max_examples=50)
@given(
    config=st.sampled_from([FLIP, TURN, BOTH]),
    seed=st.integers(0, 2**70),
    step=st.integers(0, 2**40),
    size=st.integers(1, 20),
    data=st.data(),
)
def test_a_part_of_a_batch_is_changed_as_in_the_whole(config, seed, step, size, data):
    images = np.random.default_rng(0).integers(0, 256, (size, 4, 4, 3), dtype=np.uint8)
    stop = data.draw(st.integers(0, size))
    start = data.draw(st.integers(0, stop))
    whole = augment(images, config, seed, step, 0)
    np.testing.assert_array_equal(
        augment(images[start:stop], config, seed, step, start), whole[start:stop]
    )


@pytest.mark.parametrize("config", [FLIP, TURN, BOTH])
def test_every_symmetry_comes_equally_often_and_nothing_else(config):
    count = 8000
    images = np.tile(IMAGE, (count, 1, 1, 1))
    seen = [image.tobytes() for image in augment(images, config, 3, 5, 0)]
    expected = symmetries(config)
    assert set(seen) == set(expected)
    share = 1 / len(expected)
    standard_error = np.sqrt(share * (1 - share) / count)
    for symmetry in expected:
        assert seen.count(symmetry) / count == pytest.approx(share, abs=5 * standard_error)


def test_seeds_steps_and_places_draw_for_themselves():
    """Two independent draws agree for an eighth of the 4000 images."""
    images = np.tile(IMAGE, (4000, 1, 1, 1))
    draws = [augment(images, BOTH, seed, step, 0) for seed in (0, 1) for step in (0, 1)]
    draws.append(np.roll(draws[0], 1, axis=0))
    for one, other in itertools.combinations(draws, 2):
        agreeing = (one == other).all(axis=(1, 2, 3)).mean()
        assert agreeing == pytest.approx(1 / 8, abs=0.03)


def test_what_it_was_given_stays_as_it_was():
    images = np.tile(IMAGE, (50, 1, 1, 1))
    before = images.copy()
    changed = augment(images, BOTH, 0, 0, 0)
    np.testing.assert_array_equal(images, before)
    assert not np.array_equal(changed, before)


def test_draws_are_those_of_every_numpy():
    """Golden: with other draws a resumed run would not repeat its bits.

    If a new version of numpy changes this, say so in the change log: runs begun before it
    cannot be continued bit for bit.
    """
    images = np.tile(IMAGE[..., :1], (12, 1, 1, 1))
    changed = augment(images, BOTH, 7, 1000, 2)
    assert changed[:, 0, 0, 0].tolist() == [12, 16, 0, 12, 0, 4, 4, 12, 0, 16, 0, 0]
    assert changed[:, 0, 2, 0].tolist() == [16, 4, 12, 0, 12, 0, 16, 16, 4, 12, 4, 4]

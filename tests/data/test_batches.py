import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardm.data.batches import Batches, augment
from ardm.data.config import AugmentConfig
from tests.data.published import random_images


def numbered(count: int) -> np.ndarray:
    """Images whose four values encode their index."""
    return np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 2, 2, 1)


def indices(images: np.ndarray) -> list[int]:
    return np.ascontiguousarray(images).reshape(-1, 4).view(">u4").ravel().tolist()


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(1, 40),
    size=st.integers(1, 20),
    seed=st.integers(0, 2**40),
    step=st.integers(0, 10**7),
    data=st.data(),
)
def test_a_slice_is_that_part_of_the_batch(count, size, seed, step, data):
    batches = Batches(numbered(count), size, seed)
    stop = data.draw(st.integers(0, size))
    start = data.draw(st.integers(0, stop))
    batch = batches[step]
    assert batch.shape == (size, 2, 2, 1)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batches.slice(step, start, stop), batch[start:stop])


@settings(deadline=None, max_examples=25)
@given(count=st.integers(1, 40), size=st.integers(1, 20), seed=st.integers(0, 2**40))
def test_every_image_comes_once_in_every_epoch(count, size, seed):
    batches = Batches(numbered(count), size, seed)
    steps = -(-3 * count // size)
    dealt = indices(np.concatenate([batches[step] for step in range(steps)]))
    for epoch in range(3):
        assert sorted(dealt[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_every_epoch_and_every_seed_has_an_order_of_its_own():
    count, epochs = 1000, 5
    orders = [
        tuple(indices(Batches(numbered(count), count, seed)[epoch]))
        for seed in range(5)
        for epoch in range(epochs)
    ]
    assert len(set(orders)) == len(orders)
    # Two random permutations agree at one index on average, and almost never at ten.
    agreeing = [np.equal(a, b).sum() for i, a in enumerate(orders) for b in orders[:i]]
    assert max(agreeing) < 10
    assert np.mean(agreeing) == pytest.approx(1, abs=0.3)


def test_the_order_is_not_the_order_of_the_images():
    order = np.array(indices(Batches(numbered(1000), 1000, 0)[0]))
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.15


def test_independent_of_history():
    batches = Batches(numbered(100), 8, 1)
    forwards = [batches[step].copy() for step in range(30)]
    for step in reversed(range(30)):
        np.testing.assert_array_equal(batches[step], forwards[step])
    np.testing.assert_array_equal(Batches(numbered(100), 8, 1)[29], forwards[29])


def test_the_same_in_another_process():
    """Golden: if Grain shuffled differently, a resumed run would not repeat its bits.

    If a new version of Grain changes this, say so in the change log: runs begun before it
    cannot be continued bit for bit.
    """
    code = (
        "import numpy as np; from ardm.data.batches import Batches;"
        "images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1);"
        "print(Batches(images, 6, 7)[1000].ravel().tolist())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "[34, 89, 56, 5, 95, 76]"


@pytest.mark.parametrize(("step", "start", "stop"), [(-1, 0, 4), (0, -1, 2), (0, 3, 2), (0, 0, 5)])
def test_what_lies_outside_the_batch_is_refused(step, start, stop):
    with pytest.raises(IndexError, match=f"step {step}, start {start}, stop {stop}"):
        Batches(numbered(10), 4, 0).slice(step, start, stop)


@settings(deadline=None, max_examples=25)
@given(
    size=st.integers(1, 20), seed=st.integers(0, 2**40), step=st.integers(0, 10**7), data=st.data()
)
def test_a_slice_is_changed_as_in_the_whole_batch(size, seed, step, data):
    images = random_images(30, (4, 4, 3))
    batches = Batches(images, size, seed, AugmentConfig(flip=True, quarter_turns=True))
    stop = data.draw(st.integers(0, size))
    start = data.draw(st.integers(0, stop))
    np.testing.assert_array_equal(batches.slice(step, start, stop), batches[step][start:stop])


def test_changes_are_those_of_the_seed_and_the_step_and_leave_the_images_alone():
    images = random_images(30, (4, 4, 1))
    before = images.copy()
    changes = AugmentConfig(flip=True)
    plain, changed = Batches(images, 8, 5), Batches(images, 8, 5, changes)
    for step in range(10):
        np.testing.assert_array_equal(changed[step], augment(plain[step], changes, 5, step, 0))
    assert any((changed[step] != plain[step]).any() for step in range(10))
    np.testing.assert_array_equal(images, before)


def gray(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 5, 4, 1), dtype=np.uint8)


def test_gray_values_are_binarized_anew_each_time_they_are_dealt():
    images = gray(12)
    batches = Batches(images, 12, 3, binarized=True)
    first, second = batches[0], batches[1]
    assert set(np.unique(first)) == {0, 1}
    np.testing.assert_array_equal(first, batches[0])
    again = {image.tobytes() for image in first} & {image.tobytes() for image in second}
    assert not again
    for start, stop in ((0, 5), (5, 12), (3, 4), (4, 4)):
        np.testing.assert_array_equal(batches.slice(0, start, stop), first[start:stop])
    # Black stays black, white stays white, and the mean is the gray value.
    extremes = np.where(images > 127, 255, 0).astype(np.uint8)
    sharp = Batches(extremes, 12, 3, binarized=True)[0]
    np.testing.assert_array_equal(255 * sharp, Batches(extremes, 12, 3)[0])


def test_the_mean_of_many_draws_is_the_gray_value():
    images = gray(1)
    batches = Batches(images, 1, 3, binarized=True)
    mean = np.mean([batches[step] for step in range(2000)], axis=0)
    np.testing.assert_allclose(mean, images / 255, atol=0.06)


def test_flips_and_binarization_draw_from_different_numbers():
    images = gray(64)
    flipped = Batches(images, 64, 3, AugmentConfig(flip=True), binarized=True)[0]
    plain = Batches(images, 64, 3, binarized=True)[0]
    assert flipped.shape == plain.shape
    changed = (flipped != plain).any(axis=(1, 2, 3))
    assert 0.2 < changed.mean() < 0.8

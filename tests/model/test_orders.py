import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.errors import InputError
from ardm.model import draws

KEY = jax.random.key(3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 4, 1), (5, 3, 3)])
@pytest.mark.parametrize("name", ["random", "raster", "centre-out"])
def test_every_order_is_a_permutation(name, shape):
    sigma = draws.fixed(name, KEY, shape)
    assert (sigma.shape, sigma.dtype) == (shape, np.int32)
    np.testing.assert_array_equal(np.sort(sigma.ravel()), np.arange(sigma.size))


def test_raster_goes_row_by_row():
    np.testing.assert_array_equal(
        draws.fixed("raster", KEY, (2, 3, 1))[..., 0], [[0, 1, 2], [3, 4, 5]]
    )


def test_center_out_begins_in_the_middle_and_ends_in_a_corner():
    np.testing.assert_array_equal(
        draws.fixed("centre-out", KEY, (3, 3, 1))[..., 0], [[5, 1, 6], [2, 0, 3], [7, 4, 8]]
    )
    sigma = draws.fixed("centre-out", KEY, (28, 28, 1))[..., 0]
    row, column = np.indices((28, 28)) - 13.5
    distance = np.hypot(row, column)
    assert (np.diff(distance.ravel()[np.argsort(sigma.ravel())]) > -1e-9).all()


def test_the_channels_of_a_pixel_follow_each_other():
    for name in ("raster", "centre-out"):
        sigma = draws.fixed(name, KEY, (4, 4, 3))
        assert (np.diff(sigma, axis=2) == 1).all()


def test_the_random_order_is_of_the_key_and_of_no_image():
    shared, again = (draws.fixed("random", KEY, (4, 4, 1)) for _ in range(2))
    np.testing.assert_array_equal(shared, again)
    assert not np.array_equal(shared, draws.fixed("random", jax.random.key(4), (4, 4, 1)))
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(50))
    assert not (draws.orders(keys, (4, 4, 1)) == shared).all(axis=(1, 2, 3)).any()


def test_another_order_is_refused_with_the_choices():
    with pytest.raises(InputError, match=r"'upwards': choose from random, raster, centre-out"):
        draws.fixed("upwards", KEY, (4, 4, 1))


@pytest.mark.parametrize("count", [0, 1, 5, 16])
def test_what_is_known_comes_first_and_all_else_stays_in_its_order(count):
    random = np.random.default_rng(count)
    known = random.permutation(np.arange(16) < count).reshape(4, 4, 1)
    sigma = draws.orders(jax.random.split(KEY, 3), (4, 4, 1))
    moved = np.asarray(draws.known_first(sigma, known))
    assert moved.dtype == sigma.dtype
    for before, after in zip(np.asarray(sigma), moved, strict=True):
        np.testing.assert_array_equal(np.sort(after.ravel()), np.arange(16))
        np.testing.assert_array_equal(after < count, known)
        for part in (known, ~known):
            np.testing.assert_array_equal(np.argsort(before[part]), np.argsort(after[part]))
    if count in (0, 16):
        np.testing.assert_array_equal(moved, sigma)

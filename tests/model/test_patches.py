import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.embedding import join, separate


@pytest.mark.parametrize("side", [1, 2, 3])
def test_separating_undoes_joining(side):
    x = jnp.arange(2 * 6 * 12 * 5).reshape(2, 6, 12, 5)
    joined = join(x, side)
    assert joined.shape == (2, 6 // side, 12 // side, 5 * side**2)
    np.testing.assert_array_equal(separate(joined, side), x)


def test_a_position_holds_the_pixels_of_its_own_patch():
    row, column = jnp.meshgrid(jnp.arange(4), jnp.arange(6), indexing="ij")
    joined = join((10 * row + column)[None, :, :, None], 2)
    np.testing.assert_array_equal(joined[0, 1, 2], [24, 25, 34, 35])

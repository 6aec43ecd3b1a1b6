import jax
import jax.numpy as jnp
import numpy as np

from ardm.model.logistic import LogisticMixture

OUTPUT = LogisticMixture(channels=2, classes=5, components=3)


def test_a_pixel_has_one_set_of_weights_and_two_rows_per_channel():
    assert OUTPUT.features == (1 + 2 * 2) * 3
    assert OUTPUT.mask_channels == 2
    features = jnp.arange(15.0).reshape(1, 1, 1, 15)
    np.testing.assert_array_equal(OUTPUT.parameters(features)[0, 0, 0], np.arange(15).reshape(5, 3))


def test_a_narrow_component_draws_the_class_at_its_mean():
    """Component 1 has all the weight; the means of the two channels are at classes 3 and 0."""
    rows = jnp.array(
        [[-50, 50, -50], [0, 0.5, 0], [0, -1, 0], [0, -7, 0], [0, -7, 0]], jnp.float32
    )[None, None, None]
    noise = OUTPUT.noise(jax.random.key(0), 1, 1)[None]
    drawn = OUTPUT.draw(rows, noise, jnp.float32(1))
    assert drawn[0, 0, 0].tolist() == [3, 0]
    assert float(OUTPUT.log_prob(rows, drawn).min()) > -1e-3

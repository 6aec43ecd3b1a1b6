import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.output import Categorical

KEY = jax.random.key(3)


@pytest.mark.parametrize("classes", [2, 3, 256])
def test_probabilities_sum_to_one(classes):
    output = Categorical(channels=2, classes=classes)
    logits = 5 * jax.random.normal(KEY, (3, 2, 2, 2, classes))
    values = jnp.arange(classes, dtype=jnp.uint8)
    log_p = jax.vmap(lambda v: output.log_prob(logits, jnp.full((3, 2, 2, 2), v)))(values)
    np.testing.assert_allclose(jnp.exp(log_p).sum(axis=0), 1, rtol=1e-5)


def test_log_probabilities_stay_finite_for_extreme_logits_in_half_precision():
    output = Categorical(channels=1, classes=2)
    logits = jnp.array([[[[[300.0, -300.0]]]]], jnp.bfloat16)
    log_p = output.log_prob(logits, jnp.ones((1, 1, 1, 1), jnp.uint8))
    assert log_p.dtype == jnp.float32
    assert float(log_p[0, 0, 0, 0]) == pytest.approx(-600, rel=0.01)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_draws_match_the_probabilities(temperature):
    output = Categorical(channels=1, classes=4)
    logits = jnp.array([1.0, -1.0, 0.0, 2.0])
    count = 20_000
    drawn = output.draw(
        jnp.broadcast_to(logits, (count, 1, 1, 1, 4)),
        jax.vmap(lambda k: output.noise(k, 1, 1))(jax.random.split(KEY, count)),
        jnp.float32(temperature),
    )
    expected = count * np.asarray(jax.nn.softmax(logits / temperature))
    counts = np.bincount(np.asarray(drawn).ravel(), minlength=4)
    # Chi-square with 3 degrees of freedom: 16.3 is its 0.999 quantile.
    assert ((counts - expected) ** 2 / expected).sum() < 16.3


@pytest.mark.parametrize("noise", [0.0, 0.5, 1 - 2**-24])
def test_classes_without_probability_are_never_drawn(noise):
    """The same holds for the extreme values of the noise, where sums are rounded."""
    output = Categorical(channels=1, classes=256)
    logits = jnp.full((1, 1, 1, 1, 256), -1e9).at[..., 100:200].set(0.0)
    drawn = output.draw(logits, jnp.full((1, 1, 1, 1), noise, jnp.float32), jnp.float32(1))
    assert 100 <= int(drawn[0, 0, 0, 0]) < 200


def test_parameters_keep_channels_apart():
    output = Categorical(channels=3, classes=2)
    assert output.features == 6
    assert output.mask_channels == 3
    features = jnp.arange(6.0).reshape(1, 1, 1, 6)
    np.testing.assert_array_equal(
        output.parameters(features)[0, 0, 0], [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    )

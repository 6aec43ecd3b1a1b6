import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from ardm.model import logistic

log_prob = jax.jit(logistic.bin_log_prob, static_argnames="classes")


def by_difference(x, mean, log_scale, classes):
    """The definition in float64: the distribution function at the ends of the bin."""
    k = np.arange(classes)
    upper = special.expit(((2 * k + 1) / (classes - 1) - 1 - mean) * np.exp(-log_scale))
    upper[-1] = 1.0
    with np.errstate(divide="ignore"):
        return np.log(np.diff(upper, prepend=0.0)[x])


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from([2, 3, 256]),
    st.floats(-1.5, 1.5),
    st.floats(-3.0, 3.0),
)
def test_the_product_is_the_difference_of_the_distribution_function(classes, mean, log_scale):
    x = np.arange(classes)
    expected = by_difference(x, mean, log_scale, classes)
    log_p = log_prob(jnp.asarray(x), jnp.float32(mean), jnp.float32(log_scale), classes)
    # In the tails the difference loses its digits, even in float64.
    sound = expected > -20
    np.testing.assert_allclose(log_p[sound], expected[sound], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 256, 65_536])
@pytest.mark.parametrize("log_scale", [-1e6, -7.0, 0.0, 7.0, 1e6])
def test_bounded_scales_keep_every_class_possible(classes, log_scale):
    bounded = logistic.bounded(jnp.float32(log_scale), classes)
    log_p = log_prob(jnp.arange(classes), jnp.float32(0.3), bounded, classes)
    assert np.isfinite(log_p).all()
    assert np.exp(np.asarray(log_p, np.float64)).sum() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("classes", [3, 256, 65_536])
def test_the_least_scale_follows_the_number_of_classes(classes):
    """Every inner class can be almost certain, and the bins meet without a gap or an overlap."""
    lowest = logistic.bounded(jnp.float32(-jnp.inf), classes)
    assert float(lowest) == pytest.approx(-np.log(10 * (classes - 1)))
    for k in {1, classes // 3, classes - 2}:
        mean = logistic.level(jnp.int32(k), classes)
        log_p = log_prob(jnp.arange(classes), mean, lowest, classes)
        assert np.exp(log_p[k]) > 0.999
        assert np.exp(np.asarray(log_p, np.float64)).sum() == pytest.approx(1, rel=1e-4)


def test_levels_go_from_minus_one_to_one():
    np.testing.assert_allclose(logistic.level(jnp.arange(5), 5), [-1, -0.5, 0, 0.5, 1])


def test_a_draw_is_the_class_whose_bin_the_noise_falls_into():
    """The median draws the class nearest to the mean."""
    means = jnp.array([-3.0, -1.0, 0.1, 0.3, 1.0, 3.0])
    drawn = logistic.draw(means, jnp.float32(-2), jnp.float32(0.5), jnp.float32(1), 5)
    assert drawn.tolist() == [0, 0, 2, 3, 4, 4]


def test_components_without_weight_are_never_chosen():
    logits = jnp.array([-1e9, 0.0, -1e9, 0.0, -1e9])
    for noise, expected in ((0.0, 1), (0.49, 1), (0.51, 3), (1 - 2**-24, 3)):
        assert int(logistic.choose(logits, jnp.float32(noise), jnp.float32(1))) == expected

"""Properties of every output distribution."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ardm.model.logistic import LogisticMixture
from ardm.model.output import Categorical
from ardm.model.rgb_mixture import RGBMixture

KEY = jax.random.key(8)

OUTPUTS = [
    Categorical(channels=2, classes=4),
    LogisticMixture(channels=2, classes=5, components=3),
    LogisticMixture(channels=1, classes=256, components=2),
    RGBMixture(classes=3, components=2),
    RGBMixture(classes=4, components=1),
]
every_output = pytest.mark.parametrize("output", OUTPUTS, ids=str)


def some_features(output, spread, count=1, seed=0):
    """Random network outputs for `count` images of one pixel."""
    random = np.random.default_rng(seed)
    return jnp.asarray(spread * random.standard_normal((count, 1, 1, output.features)), jnp.float32)


def events(output):
    """All values at one entry of the mask: those of one channel, or of all channels together."""
    together = output.channels // output.mask_channels
    values = np.array(list(product(range(output.classes), repeat=together)))
    return jnp.asarray(values if together > 1 else np.repeat(values, output.channels, 1), jnp.uint8)


def log_probs(output, features):
    """Log-probability of every event, float64, shape events m."""
    values = events(output)
    parameters = output.parameters(jnp.repeat(features, len(values), axis=0))
    log_p = jax.jit(output.log_prob)(parameters, values[:, None, None])
    return np.asarray(log_p[:, 0, 0], np.float64)


@every_output
@pytest.mark.parametrize("spread", [0.5, 3.0, 30.0])
def test_the_probabilities_of_all_values_sum_to_one(output, spread):
    log_p = log_probs(output, some_features(output, spread))
    assert log_p.shape[1] == output.mask_channels
    np.testing.assert_allclose(np.exp(log_p).sum(axis=0), 1, rtol=2e-5)


@every_output
def test_draws_have_their_log_probability(output):
    """A chi-square test over all values, with rare values combined."""
    count = 20_000
    features = some_features(output, 1.0, seed=1)
    expected = count * np.exp(log_probs(output, features))
    noise = jax.vmap(lambda k: output.noise(k, 1, 1))(jax.random.split(KEY, count))
    parameters = output.parameters(jnp.repeat(features, count, axis=0))
    drawn = np.asarray(output.draw(parameters, noise, jnp.float32(1)), int)[:, 0, 0]
    assert drawn.shape == (count, output.channels)
    if output.mask_channels == 1 and output.channels > 1:
        drawn = (drawn @ (output.classes ** np.arange(output.channels)[::-1]))[:, None]
    for channel in range(output.mask_channels):
        counts = np.bincount(drawn[:, channel], minlength=len(expected))
        common = expected[:, channel] >= 5
        seen = [*counts[common], counts[~common].sum()]
        awaited = [*expected[common, channel], expected[~common, channel].sum()]
        kept = slice(None) if awaited[-1] >= 5 else slice(-1)
        observed = np.array(seen[kept], float)
        awaited = np.array(awaited[kept]) * observed.sum() / np.sum(awaited[kept])
        assert stats.chisquare(observed, awaited).pvalue > 1e-3


@pytest.mark.parametrize("output", [o for o in OUTPUTS if o.mask_channels > 1], ids=str)
def test_channels_with_masks_of_their_own_are_drawn_independently(output):
    count = 20_000
    noise = jax.vmap(lambda k: output.noise(k, 1, 1))(jax.random.split(KEY, count))
    parameters = output.parameters(jnp.repeat(some_features(output, 1.0), count, axis=0))
    drawn = np.asarray(output.draw(parameters, noise, jnp.float32(1)), int)[:, 0, 0]
    table = np.zeros((output.classes, output.classes))
    np.add.at(table, (drawn[:, 0], drawn[:, 1]), 1)
    table = table[table.sum(1) > 100][:, table.sum(0) > 100]
    assert stats.chi2_contingency(table).pvalue > 1e-3


@every_output
@pytest.mark.parametrize("spread", [0.0, 1.0, 100.0, 1e4])
def test_the_edge_values_have_finite_likelihoods_and_gradients(output, spread):
    features = some_features(output, spread, count=8, seed=2)

    @jax.jit
    def total(features, value):
        x = jnp.full((8, 1, 1, output.channels), value)
        return output.log_prob(output.parameters(features), x).sum()

    for value in (0, 1, output.classes - 2, output.classes - 1):
        likelihood, gradient = jax.value_and_grad(total)(features, value)
        assert np.isfinite(likelihood)
        assert np.isfinite(gradient).all()


@every_output
@pytest.mark.parametrize("noise", [0.0, 1 - 2**-24])
def test_the_ends_of_the_noise_give_classes(output, noise):
    features = some_features(output, 1.0)
    size = output.noise(KEY, 1, 1).shape
    drawn = output.draw(
        output.parameters(features), jnp.full((1, *size), noise, jnp.float32), jnp.float32(1)
    )
    assert drawn.dtype == jnp.uint8
    assert int(drawn.max()) < output.classes


@every_output
def test_a_low_temperature_gathers_the_draws(output):
    count = 2_000
    noise = jax.vmap(lambda k: output.noise(k, 1, 1))(jax.random.split(KEY, count))
    parameters = output.parameters(jnp.repeat(some_features(output, 1.0), count, axis=0))
    draw = jax.jit(output.draw)

    def entropy(temperature):
        x = np.asarray(draw(parameters, noise, jnp.float32(temperature)))[..., 0]
        return stats.entropy(np.bincount(x.ravel(), minlength=output.classes))

    assert entropy(0.02) < 0.7 * entropy(1.0)


@every_output
def test_an_output_is_hashable(output):
    assert hash(output) == hash(type(output)(**vars(output)))
    assert output == type(output)(**vars(output))

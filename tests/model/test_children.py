import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.coarsening import Coarsening
from ardm.model.upscale import DataParametrisation, DirectParametrisation

pytestmark = pytest.mark.slow


LADDERS = [
    Coarsening(4, 2),
    Coarsening(5, 2),
    Coarsening(7, 3),
    Coarsening(6, 6),
    Coarsening(64, 4),
]
every_ladder = pytest.mark.parametrize("ladder", LADDERS, ids=str)
every_kind = pytest.mark.parametrize("kind", [DataParametrisation, DirectParametrisation])


def some_features(parametrisation, count, spread=1.0):
    random = np.random.default_rng(3)
    shape = (count, 1, 1, parametrisation.features)
    return jnp.asarray(spread * random.standard_normal(shape), jnp.float32)


def digit_log_probs(parametrisation, features, x, stage):
    """Log-probabilities of all digits of a stage, given the previous values of `x`."""
    stages = jnp.full(len(x), stage)
    previous = parametrisation.coarsening.previous(x, stages)
    logits = jax.jit(parametrisation.children)(features, previous, stages)
    return jax.nn.log_softmax(logits, axis=-1)


@every_ladder
@pytest.mark.parametrize("spread", [1.0, 200.0])
def test_the_data_parametrisation_agrees_with_enumeration_of_the_children(ladder, spread):
    """Also where all probabilities of a family would underflow outside log space."""
    data = DataParametrisation(2, ladder)
    x = jnp.arange(ladder.classes).reshape(-1, 1, 1, 1).repeat(2, axis=-1)
    features = some_features(data, ladder.classes, spread)
    logits = np.asarray(features, np.float64).reshape(-1, 2, ladder.classes)
    for stage in range(ladder.stages):
        found = np.asarray(digit_log_probs(data, features, x, stage))[:, 0, 0]
        unit = ladder.branch ** (ladder.stages - 1 - stage)
        for value in range(ladder.classes):
            parent = value - value % (unit * ladder.branch)
            family = range(parent, min(parent + unit * ladder.branch, ladder.classes))
            total = np.logaddexp.reduce(logits[value][:, family], axis=-1)
            for digit in range(ladder.branch):
                own = [v for v in family if (v - parent) // unit == digit]
                if own:
                    expected = np.logaddexp.reduce(logits[value][:, own], axis=-1) - total
                    np.testing.assert_allclose(
                        found[value, :, digit], expected, rtol=1e-4, atol=1e-4
                    )
                else:
                    assert (np.exp(found[value, :, digit]) == 0).all()


@every_ladder
def test_the_stages_of_the_data_parametrisation_multiply_to_the_probability_of_the_value(ladder):
    data = DataParametrisation(1, ladder)
    x = jnp.arange(ladder.classes).reshape(-1, 1, 1, 1)
    features = jnp.broadcast_to(some_features(data, 1), (len(x), 1, 1, data.features))
    total = 0.0
    for stage in range(ladder.stages):
        digit = ladder.digit(x, stage)[..., None]
        total += jnp.take_along_axis(digit_log_probs(data, features, x, stage), digit, -1)
    expected = jax.nn.log_softmax(features[0, 0, 0])
    np.testing.assert_allclose(total.ravel(), expected, rtol=1e-4, atol=1e-5)


@every_kind
@every_ladder
def test_children_that_do_not_exist_have_no_probability(ladder, kind):
    parametrisation = kind(1, ladder)
    x = jnp.arange(ladder.classes).reshape(-1, 1, 1, 1)
    for stage in range(ladder.stages):
        p = jnp.exp(
            digit_log_probs(parametrisation, some_features(parametrisation, len(x)), x, stage)
        )
        np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
        previous = ladder.previous(x, stage)
        for digit in range(ladder.branch):
            exists = ladder.child(previous, jnp.full_like(x, digit), stage) < ladder.classes
            np.testing.assert_array_equal(p[..., digit] > 0, exists)


def test_the_direct_parametrisation_takes_the_logits_of_the_stage():
    direct = DirectParametrisation(2, Coarsening(16, 4))
    assert direct.features == 2 * 2 * 4
    features = jnp.arange(32.0).reshape(2, 1, 1, 16)
    logits = direct.children(features, jnp.zeros((2, 1, 1, 2), int), jnp.array([0, 1]))
    np.testing.assert_array_equal(logits[0, 0, 0], [[0, 1, 2, 3], [8, 9, 10, 11]])
    np.testing.assert_array_equal(logits[1, 0, 0], [[20, 21, 22, 23], [28, 29, 30, 31]])


@every_kind
@pytest.mark.parametrize("spread", [0.0, 1e4])
def test_gradients_are_finite_at_all_values(kind, spread):
    """Five classes in eight places: whole families of children do not exist."""
    parametrisation = kind(1, Coarsening(5, 2))
    x = jnp.tile(jnp.arange(5), 3).reshape(-1, 1, 1, 1)
    stage = jnp.repeat(jnp.arange(3), 5)
    ladder = parametrisation.coarsening

    def total(features):
        logits = parametrisation.children(features, ladder.previous(x, stage), stage)
        digit = ladder.digit(x, stage)[..., None]
        return jnp.take_along_axis(jax.nn.log_softmax(logits), digit, -1).sum()

    value, gradient = jax.value_and_grad(total)(some_features(parametrisation, 15, spread))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.characters import TEXT8
from ardm.model.coarsening import Coarsening
from ardm.model.letters import LetterKinds
from ardm.model.upscale import DataParametrization, DirectParametrization

pytestmark = pytest.mark.slow


COARSENINGS = [
    Coarsening(4, 2),
    Coarsening(5, 2),
    Coarsening(7, 3),
    Coarsening(6, 6),
    Coarsening(64, 4),
    LetterKinds.of(TEXT8),
]
every_coarsening = pytest.mark.parametrize("coarsening", COARSENINGS, ids=str)
every_kind = pytest.mark.parametrize("kind", [DataParametrization, DirectParametrization])


def some_features(parametrization, count, spread=1.0):
    random = np.random.default_rng(3)
    shape = (count, 1, 1, parametrization.features)
    return jnp.asarray(spread * random.standard_normal(shape), jnp.float32)


def digit_log_probs(parametrization, features, x, stage):
    """Log-probabilities of all digits of a stage, given the previous values of `x`."""
    stages = jnp.full(len(x), stage)
    previous = parametrization.coarsening.previous(x, stages)
    logits = jax.jit(parametrization.children)(features, previous, stages)
    return jax.nn.log_softmax(logits, axis=-1)


@every_coarsening
@pytest.mark.parametrize("spread", [1.0, 200.0])
def test_the_data_parametrization_agrees_with_enumeration_of_the_children(coarsening, spread):
    """At the large spread all probabilities of a family would underflow outside log space."""
    data = DataParametrization(2, coarsening)
    x = jnp.arange(coarsening.classes).reshape(-1, 1, 1, 1).repeat(2, axis=-1)
    features = some_features(data, coarsening.classes, spread)
    logits = np.asarray(features, np.float64).reshape(-1, 2, coarsening.classes)
    for stage in range(coarsening.stages):
        log_p = np.asarray(digit_log_probs(data, features, x, stage))[:, 0, 0]
        parents = np.asarray(coarsening.previous(x, stage))[:, 0, 0, 0]
        digits = np.asarray(coarsening.digit(x, stage))[:, 0, 0, 0]
        for value in range(coarsening.classes):
            family = [v for v in range(coarsening.classes) if parents[v] == parents[value]]
            total = np.logaddexp.reduce(logits[value][:, family], axis=-1)
            for digit in range(coarsening.branch):
                own = [v for v in family if digits[v] == digit]
                if own:
                    expected = np.logaddexp.reduce(logits[value][:, own], axis=-1) - total
                    np.testing.assert_allclose(
                        log_p[value, :, digit], expected, rtol=1e-4, atol=1e-4
                    )
                else:
                    assert (np.exp(log_p[value, :, digit]) == 0).all()


@every_coarsening
def test_the_stages_of_the_data_parametrization_multiply_to_the_probability_of_the_value(
    coarsening,
):
    data = DataParametrization(1, coarsening)
    x = jnp.arange(coarsening.classes).reshape(-1, 1, 1, 1)
    features = jnp.broadcast_to(some_features(data, 1), (len(x), 1, 1, data.features))
    total = 0.0
    for stage in range(coarsening.stages):
        digit = coarsening.digit(x, stage)[..., None]
        total += jnp.take_along_axis(digit_log_probs(data, features, x, stage), digit, -1)
    expected = jax.nn.log_softmax(features[0, 0, 0])
    np.testing.assert_allclose(total.ravel(), expected, rtol=1e-4, atol=1e-5)


@every_kind
@every_coarsening
def test_children_that_do_not_exist_have_no_probability(coarsening, kind):
    parametrization = kind(1, coarsening)
    x = jnp.arange(coarsening.classes).reshape(-1, 1, 1, 1)
    for stage in range(coarsening.stages):
        p = jnp.exp(
            digit_log_probs(parametrization, some_features(parametrization, len(x)), x, stage)
        )
        np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
        previous = coarsening.previous(x, stage)
        for digit in range(coarsening.branch):
            exists = coarsening.child(previous, jnp.full_like(x, digit), stage) < coarsening.classes
            np.testing.assert_array_equal(p[..., digit] > 0, exists)


def test_the_direct_parametrization_takes_the_logits_of_the_stage():
    direct = DirectParametrization(2, Coarsening(16, 4))
    assert direct.features == 2 * 2 * 4
    features = jnp.arange(32.0).reshape(2, 1, 1, 16)
    logits = direct.children(features, jnp.zeros((2, 1, 1, 2), int), jnp.array([0, 1]))
    np.testing.assert_array_equal(logits[0, 0, 0], [[0, 1, 2, 3], [8, 9, 10, 11]])
    np.testing.assert_array_equal(logits[1, 0, 0], [[20, 21, 22, 23], [28, 29, 30, 31]])


@every_kind
@pytest.mark.parametrize("spread", [0.0, 1e4])
def test_gradients_are_finite_at_all_values(kind, spread):
    """With five classes of eight possible values, whole families of children do not exist."""
    parametrization = kind(1, Coarsening(5, 2))
    x = jnp.tile(jnp.arange(5), 3).reshape(-1, 1, 1, 1)
    stage = jnp.repeat(jnp.arange(3), 5)
    coarsening = parametrization.coarsening

    def total(features):
        logits = parametrization.children(features, coarsening.previous(x, stage), stage)
        digit = coarsening.digit(x, stage)[..., None]
        return jnp.take_along_axis(jax.nn.log_softmax(logits), digit, -1).sum()

    value, gradient = jax.value_and_grad(total)(some_features(parametrization, 15, spread))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()

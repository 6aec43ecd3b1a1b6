from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model import draws
from ardm.model.evaluation import evaluate, places
from tests.model.tiny import compiled, random_images, tiny_model, tiny_params

pytestmark = pytest.mark.slow


KEY = jax.random.key(4)
compiled_evaluate = jax.jit(evaluate, static_argnames=("model", "count"))


def run(model, params, x, pass_, index, count):
    place = places(KEY, pass_, count)[np.asarray(index)]
    return compiled_evaluate(model, params, x, KEY, pass_, index, place, count)


def test_the_estimates_are_those_of_training_without_dropout():
    model, still = tiny_model(dropout=0.5), tiny_model()
    params, x = tiny_params(model), random_images(model, 6)
    estimates = run(model, params, x, 2, jnp.arange(6), 6)
    t = draws.antithetic_times(KEY, 2, jnp.asarray(places(KEY, 2, 6)), 6, still.objective.steps)
    np.testing.assert_array_equal(estimates.t, t)
    draw = still.objective.draw(KEY, 2, jnp.arange(6), 6, "uniform")._replace(t=t)
    expected = still.objective.terms(partial(compiled(still), params), x, draw)
    np.testing.assert_allclose(estimates.nelbo, expected.nelbo, rtol=1e-5)


def test_the_places_are_a_permutation_that_changes_with_the_pass_and_the_seed():
    assigned = places(KEY, 0, 50)
    assert sorted(assigned) == list(range(50))
    np.testing.assert_array_equal(assigned, places(KEY, 0, 50))
    others = [places(KEY, 1, 50), places(jax.random.key(5), 0, 50), np.arange(50)]
    assert not any(np.array_equal(assigned, other) for other in others)
    np.testing.assert_array_equal(places(KEY, 0, 1), [0])


def test_parts_of_a_batch_give_the_terms_of_the_whole():
    model = tiny_model()
    params, x = tiny_params(model), random_images(model, 8)
    whole = run(model, params, x, 0, jnp.arange(8), 8).nelbo
    parts = [
        run(model, params, x[part], 0, jnp.arange(8)[part], 8).nelbo
        for part in (slice(0, 4), slice(4, 8))
    ]
    np.testing.assert_allclose(jnp.concatenate(parts), whole, rtol=1e-5)


def test_passes_estimate_the_same_bound_from_other_draws():
    """The means of two halves of many passes differ by no more than their standard errors allow."""
    model = tiny_model()
    params, x = tiny_params(model), random_images(model, 8)
    means = np.array([run(model, params, x, r, jnp.arange(8), 8).nelbo.mean() for r in range(400)])
    assert len(set(means.round(4))) > 100
    error = means.std() / np.sqrt(200)
    assert abs(means[:200].mean() - means[200:].mean()) < 4 * np.sqrt(2) * error
    assert means.mean() == pytest.approx(means[:200].mean(), rel=0.1)

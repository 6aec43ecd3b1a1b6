from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.evaluation import evaluate
from tests.model.tiny import compiled, random_images, tiny_model, tiny_params

KEY = jax.random.key(4)
run = jax.jit(evaluate, static_argnames=("model", "batch"))


def test_the_terms_are_those_of_training_without_dropout():
    model, still = tiny_model(dropout=0.5), tiny_model()
    params, x = tiny_params(model), random_images(model, 6)
    terms = run(model, params, x, KEY, 2, jnp.arange(6), 6)
    draw = still.objective.draw(KEY, 2, jnp.arange(6), 6, "antithetic")
    expected = still.objective.terms(partial(compiled(still), params), x, draw)
    for got, want in zip(terms, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_parts_of_a_batch_give_the_terms_of_the_whole():
    model = tiny_model()
    params, x = tiny_params(model), random_images(model, 8)
    whole = run(model, params, x, KEY, 0, jnp.arange(8), 8).nelbo
    parts = [
        run(model, params, x[part], KEY, 0, jnp.arange(8)[part], 8).nelbo
        for part in (slice(0, 4), slice(4, 8))
    ]
    np.testing.assert_allclose(jnp.concatenate(parts), whole, rtol=1e-5)


def test_rounds_estimate_the_same_bound_from_other_draws():
    """Two halves of many rounds agree to within what their spread allows."""
    model = tiny_model()
    params, x = tiny_params(model), random_images(model, 8)
    means = np.array(
        [run(model, params, x, KEY, r, jnp.arange(8), 8).nelbo.mean() for r in range(400)]
    )
    assert len(set(means.round(4))) > 100
    error = means.std() / np.sqrt(200)
    assert abs(means[:200].mean() - means[200:].mean()) < 4 * np.sqrt(2) * error
    assert means.mean() == pytest.approx(means[:200].mean(), rel=0.1)

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.errors import InputError
from ardm.model import draws, policy
from ardm.model.evaluation import log_likelihood
from ardm.model.sampling import complete, image_keys, sample
from tests.model.tiny import random_images, tiny_params, tiny_transformer

pytestmark = pytest.mark.slow

LENGTH, CLASSES = 6, 3
ORDERS = np.array([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 0, 5, 1, 4, 3], [3, 5, 0, 4, 1, 2]])
KINDS = ["autoregressive", "permuted"]
EVERY_STEP = np.arange(LENGTH, dtype=np.int32)


def model_of(kind):
    return tiny_transformer(LENGTH, CLASSES, objective=kind)


def orders_of(kind):
    return ORDERS if kind == "permuted" else ORDERS[:1]


def log_p(model, x, order, starts):
    sigma = order.reshape(1, LENGTH, 1, 1)
    predict = model.bind(tiny_params(model))
    return log_likelihood(predict, x, sigma, np.array(starts), objective=model.objective)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_depends_on_earlier_dimensions_alone(kind):
    """No two dimensions have the same class. So the gradient with respect to the embedding of a
    class shows which predictions depend on that dimension."""
    model = tiny_transformer(LENGTH, LENGTH, objective=kind)
    x = jnp.arange(LENGTH, dtype=jnp.uint8).reshape(1, LENGTH, 1, 1)
    params = tiny_params(model)

    @jax.jit
    @jax.jacrev
    def jacobian(table, sigma):
        embed = params["embed"] | {"table": {"embedding": table}}
        logits = model.predict(params | {"embed": embed}, x, sigma, jnp.array([0]))
        return (logits**2).sum(axis=-1).reshape(LENGTH)

    for order in orders_of(kind):
        sigma = jnp.asarray(order.reshape(1, LENGTH, 1, 1))
        by_row = jacobian(params["embed"]["table"]["embedding"], sigma)
        reached = (np.asarray(by_row) != 0).any(axis=-1)
        np.testing.assert_array_equal(reached[:, :LENGTH], order[:, None] > order)
        assert reached[:, LENGTH].all()  # the first token


@pytest.mark.parametrize("kind", KINDS)
def test_one_call_gives_the_sum_over_one_dimension_at_a_time(kind):
    model = model_of(kind)
    x = np.asarray(random_images(model, 5))
    for order in orders_of(kind):
        one_by_one = log_p(model, x, order, EVERY_STEP)
        at_once = log_p(model, x, order, model.objective.exact_starts)
        np.testing.assert_allclose(at_once, one_by_one, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_likelihoods_of_all_texts_sum_to_one(kind):
    model = tiny_transformer(3, 2, objective=kind)
    x = np.array(list(product((0, 1), repeat=3)), np.uint8).reshape(-1, 3, 1, 1)
    predict = model.bind(tiny_params(model))
    for order in ([0, 1, 2], [2, 0, 1]) if kind == "permuted" else ([0, 1, 2],):
        sigma = np.array(order).reshape(1, 3, 1, 1)
        each = log_likelihood(predict, x, sigma, np.zeros(1, int), objective=model.objective)
        assert np.exp(each).sum() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_terms_of_training_are_exact(kind):
    model = model_of(kind)
    x = random_images(model, 4)
    draw = model.objective.draw(jax.random.key(1), 3, jnp.arange(4), 4, "importance")
    terms = model.objective.terms(model.bind(tiny_params(model)), x, draw)
    for i in range(4):
        order = np.asarray(draw.sigma[i]).reshape(-1)
        whole = log_p(model, np.asarray(x[i : i + 1]), order, [0])
        assert float(terms.nelbo[i]) == pytest.approx(-whole[0], rel=1e-5)
        assert float(terms.ll[i]) == -float(terms.nelbo[i])
        t = int(draw.t[i])
        sigma = order.reshape(1, LENGTH, 1, 1)
        predict = model.bind(tiny_params(model))
        at_t = log_likelihood(
            predict,
            np.asarray(x[i : i + 1]),
            sigma,
            np.array([t]),
            objective=model.objective,
            end=t + 1,
        )
        assert float(terms.nll_per_dim[i]) == pytest.approx(-at_t[0], rel=1e-4)


def test_the_natural_order_is_the_only_one_of_an_autoregressive_model():
    keys = jax.random.split(jax.random.key(0), 3)
    sigma = model_of("autoregressive").objective.orders(keys)
    np.testing.assert_array_equal(sigma.reshape(3, -1), [range(LENGTH)] * 3)
    permuted = model_of("permuted").objective
    np.testing.assert_array_equal(permuted.orders(keys), draws.orders(keys, permuted.shape))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_follow_the_likelihood(kind):
    model = tiny_transformer(2, 2, objective=kind)
    predict = model.bind(tiny_params(model))
    x = np.array(list(product((0, 1), repeat=2)), np.uint8).reshape(-1, 2, 1, 1)
    orders = np.array([[0, 1], [1, 0]])[: 1 if kind == "autoregressive" else 2]
    expected = np.mean(
        [
            np.exp(
                log_likelihood(
                    predict, x, o.reshape(1, 2, 1, 1), np.zeros(1, int), objective=model.objective
                )
            )
            for o in orders
        ],
        axis=0,
    )
    count = 4000
    images = sample(
        predict, jax.random.key(4), count, np.arange(2), objective=model.objective, batch=1000
    ).images
    codes = images.reshape(count, 2) @ [2, 1]
    found = np.bincount(codes, minlength=4) / count
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(0.25 / count))


def test_given_values_of_an_autoregressive_model_must_come_first():
    model = model_of("autoregressive")
    keys = image_keys(jax.random.key(0), jnp.arange(1))
    x = np.full((1, LENGTH, 1, 1), 2, np.uint8)
    predict = model.bind(tiny_params(model))
    first = np.arange(LENGTH).reshape(LENGTH, 1, 1) < 2
    starts = policy.remaining(np.ones(LENGTH), 2, 4)
    completed = complete(predict, keys, x, first, starts, objective=model.objective).images
    assert (completed[0, :2] == 2).all()
    with pytest.raises(InputError, match="natural order"):
        complete(predict, keys, x, ~first, starts[:2] + 2, objective=model.objective)

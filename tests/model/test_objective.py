from functools import partial
from itertools import permutations, product
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.draws import visible
from ardm.model.objective import Draw, Terms, hidden_terms
from tests.model.tiny import compiled, random_images, tiny_model, tiny_params

pytestmark = pytest.mark.slow


KEY = jax.random.key(11)


def exact_nll(model, params, x, sigma):
    """Minus the log-likelihood of each image in the given order, one dimension after the other."""
    total = 0.0
    for step in range(model.D):
        t = jnp.full(len(x), step)
        logits = np.asarray(compiled(model)(params, x, visible(sigma, t), t), np.float64)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        at_x = np.take_along_axis(log_p, np.asarray(x, int)[..., None], -1)[..., 0]
        total = total - at_x[np.asarray(sigma) == step]
    return total


def all_orders(model):
    orders = np.array(list(permutations(range(model.D))), np.int32)
    return jnp.asarray(orders.reshape(-1, *model.shape))


@pytest.mark.parametrize(("side", "channels", "classes"), [(1, 3, 3), (2, 1, 2), (2, 1, 4)])
def test_the_average_over_all_orders_and_steps_is_the_exact_value(side, channels, classes):
    model = tiny_model(side=side, channels=channels, classes=classes)
    params = tiny_params(model)
    predict = partial(compiled(model), params)
    sigma = all_orders(model)
    for x in random_images(model, 3):
        images = jnp.broadcast_to(x, sigma.shape)
        exact = exact_nll(model, params, images, sigma).mean()
        estimates = []
        for step in range(model.D):
            draw = Draw(sigma, jnp.full(len(sigma), step), jax.random.split(KEY, len(sigma)))
            estimates.append(model.objective.terms(predict, images, draw).nelbo)
        assert np.mean(estimates) == pytest.approx(exact, rel=1e-5)


def test_the_model_of_one_order_is_a_distribution():
    """The probabilities of all images sum to one, so the exact values above are correct."""
    model = tiny_model()
    images = jnp.array(list(product([0, 1], repeat=4)), jnp.uint8).reshape(-1, 2, 2, 1)
    sigma = jnp.broadcast_to(jnp.array([2, 0, 3, 1]).reshape(1, 2, 2, 1), images.shape)
    nll = exact_nll(model, tiny_params(model), images, sigma)
    assert np.exp(-nll).sum() == pytest.approx(1, rel=1e-5)


def test_terms_count_hidden_dimensions_only_and_scale_to_all():
    log_prob = jnp.array([-1.0, -2.0, -4.0, -8.0]).reshape(1, 2, 2, 1)
    mask = jnp.array([True, False, True, False]).reshape(1, 2, 2, 1)
    terms = hidden_terms(log_prob, mask, jnp.array([2]))
    assert float(terms.ll[0]) == -10
    assert float(terms.nll_per_dim[0]) == 5
    assert float(terms.nelbo[0]) == 20


def test_loss_is_in_bits_per_dimension():
    model = tiny_model()
    terms = Terms(*(jnp.array([v]) for v in (-10.0, 5.0, 20.0)))
    loss = float(model.objective.loss(terms, 0.5)[0])
    assert loss == pytest.approx((20 + 0.5 * 10) / (4 * log(2)))


def test_without_knowledge_the_bound_is_one_bit_per_binary_dimension():
    objective = tiny_model().objective
    draw = objective.draw(KEY, 0, jnp.arange(8), 8, "antithetic")
    terms = objective.terms(
        lambda x, mask, t: jnp.zeros((*x.shape, 2)), jnp.zeros((8, 2, 2, 1), jnp.uint8), draw
    )
    np.testing.assert_allclose(objective.loss(terms, 0.0), 1, rtol=1e-6)


def test_log_probabilities_of_visible_dimensions_get_no_gradient():
    mask = jnp.array([True, False, True, False]).reshape(1, 2, 2, 1)
    grad = jax.grad(lambda lp: hidden_terms(lp, mask, jnp.array([2])).nelbo.sum())(
        jnp.zeros((1, 2, 2, 1))
    )
    np.testing.assert_array_equal(grad == 0, mask)


@pytest.mark.parametrize("t_sampling", ["uniform", "antithetic", "importance"])
def test_shards_of_a_batch_draw_the_same_bits(t_sampling):
    objective = tiny_model().objective
    whole = objective.draw(KEY, 9, jnp.arange(8), 8, t_sampling)
    parts = [objective.draw(KEY, 9, index, 8, t_sampling) for index in jnp.arange(8).reshape(4, 2)]
    np.testing.assert_array_equal(jnp.concatenate([p.sigma for p in parts]), whole.sigma)
    np.testing.assert_array_equal(jnp.concatenate([p.t for p in parts]), whole.t)


def test_weights_keep_the_bound_of_steps_by_importance_unbiased():
    model = tiny_model()
    objective, predict = model.objective, partial(compiled(model), tiny_params(model))
    x, n = jnp.repeat(random_images(model, 1), 4000, axis=0), jnp.arange(4000)
    losses = {}
    for kind in ("antithetic", "importance"):
        terms = objective.terms(predict, x, objective.draw(KEY, 0, n, 4000, kind))
        losses[kind] = np.asarray(objective.loss(terms, 0.3))
    errors = [loss.std() / np.sqrt(4000) for loss in losses.values()]
    usual, weighted = (loss.mean() for loss in losses.values())
    assert weighted == pytest.approx(usual, abs=4 * np.hypot(*errors))
    assert not np.array_equal(*losses.values())


def test_dropout_acts_in_training_only_and_does_not_depend_on_the_split():
    model = tiny_model(dropout=0.5)
    params, x = tiny_params(model), random_images(model, 4)
    objective, predict = model.objective, partial(compiled(model), params)
    draw = objective.draw(KEY, 0, jnp.arange(4), 4, "uniform")
    train = objective.terms(predict, x, draw, train=True).ll
    assert not np.array_equal(train, objective.terms(predict, x, draw).ll)
    halves = [
        objective.terms(
            predict, x[part], jax.tree.map(lambda d, part=part: d[part], draw), train=True
        ).ll
        for part in (slice(0, 2), slice(2, 4))
    ]
    np.testing.assert_allclose(jnp.concatenate(halves), train, rtol=1e-5)

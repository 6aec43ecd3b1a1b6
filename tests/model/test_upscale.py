from functools import cache, partial
from itertools import permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.draws import visible
from ardm.model.objective import Draw
from tests.model.tiny import compiled, random_images, tiny_model, tiny_params

pytestmark = pytest.mark.slow


KEY = jax.random.key(17)

KINDS = [
    {"branch": 2, "mode": "zero", "parametrisation": "data"},
    {"branch": 2, "mode": "augment", "parametrisation": "data"},
    {"branch": 3, "mode": "zero", "parametrisation": "direct"},
]
every_kind = pytest.mark.parametrize("kind", range(len(KINDS)), ids=lambda i: str(KINDS[i]))


@cache
def model_of(kind, side=2, channels=1, classes=5, levels=1):
    """Five classes: no power of the branch factor."""
    return tiny_model(side, channels, classes, levels, objective="upscale", upscale=KINDS[kind])


def stage_nll(model, params, x, sigma, stage):
    """Minus the log-likelihood of the digits of a stage, one dimension after the other."""
    ladder, total = model.objective.coarsening, 0.0
    for step in range(model.D):
        t = jnp.full(len(x), step)
        mask = visible(sigma, t)
        shown = jnp.where(mask, ladder.previous(x, stage + 1), ladder.previous(x, stage))
        logits = compiled(model)(params, shown, mask, stage * model.D + t)
        p = np.exp(np.asarray(logits, np.float64))
        p = np.take_along_axis(p, np.asarray(ladder.digit(x, stage))[..., None], -1)[
            ..., 0
        ] / p.sum(-1)
        total = total - np.log(p)[np.asarray(sigma) == step]
    return total


@every_kind
def test_the_average_over_stages_orders_and_steps_is_the_exact_value(kind):
    model = model_of(kind)
    objective, params = model.objective, tiny_params(model)
    orders = np.array(list(permutations(range(model.D))), np.int32)
    sigma = jnp.asarray(orders.reshape(-1, *model.shape))
    for x in random_images(model, 2):
        images = jnp.broadcast_to(x, sigma.shape)
        exact = sum(
            stage_nll(model, params, images, sigma, stage).mean()
            for stage in range(objective.stages)
        )
        estimates, per_dim = [], []
        for t in range(objective.steps):
            draw = Draw(sigma, jnp.full(len(sigma), t), jax.random.split(KEY, len(sigma)))
            terms = objective.terms(partial(compiled(model), params), images, draw)
            estimates.append(terms.nelbo)
            per_dim.append(terms.nll_per_dim.mean())
        assert np.mean(estimates) == pytest.approx(exact, rel=1e-4)
        # What the KL tracker holds: one entry per step of every stage, which add up to the bound.
        assert sum(per_dim) == pytest.approx(exact, rel=1e-4)


@every_kind
def test_the_model_of_one_order_per_stage_is_a_distribution(kind):
    """The probabilities of all images sum to one: what the exact value above is worth."""
    model = model_of(kind, side=1, channels=2)
    images = jnp.array(list(product(range(5), repeat=2)), jnp.uint8).reshape(-1, 1, 1, 2)
    random, nll = np.random.default_rng(0), 0.0
    for stage in range(model.objective.stages):
        sigma = jnp.broadcast_to(random.permutation(2).reshape(1, 1, 1, 2), images.shape)
        nll = nll + stage_nll(model, tiny_params(model), images, sigma, stage)
    assert np.exp(-nll).sum() == pytest.approx(1, rel=1e-5)


@every_kind
def test_predictions_depend_on_earlier_digits_and_visible_ones_alone(kind):
    """Changing all that is finer changes no bit; changing what is known does."""
    model = model_of(kind, side=4, levels=2)
    ladder, params = model.objective.coarsening, tiny_params(model)
    x = random_images(model, model.objective.stages)
    stage = jnp.arange(len(x))
    sigma = model.objective.draw(KEY, 0, stage, len(x), "uniform").sigma
    t = stage * model.D + model.D // 2
    mask = visible(sigma, t % model.D)
    shown = jnp.where(mask, ladder.previous(x, stage + 1), ladder.previous(x, stage))
    found = compiled(model)(params, x, mask, t)
    np.testing.assert_array_equal(found, compiled(model)(params, shown.astype(x.dtype), mask, t))
    # Zero digits at the last stage leave nothing of the value but what is before it.
    other = jnp.where(mask, x, ladder.previous(x, stage)).astype(x.dtype)
    np.testing.assert_array_equal(found, compiled(model)(params, other, mask, t))
    assert not np.array_equal(found[-1], compiled(model)(params, (x + 1) % 5, mask, t)[-1])


def test_a_previous_value_is_visible_though_its_dimension_is_hidden():
    model = model_of(1)
    hidden, t = jnp.zeros((1, 2, 2, 1), bool), jnp.array([2 * model.D])
    x = jnp.zeros((1, 2, 2, 1), jnp.uint8)
    before = compiled(model)(tiny_params(model), x, hidden, t)
    after = compiled(model)(tiny_params(model), x.at[0, 0, 0, 0].set(2), hidden, t)
    assert not np.array_equal(before[0, 1, 1], after[0, 1, 1])


def test_no_gradient_reaches_a_bound_from_visible_dimensions():
    objective = model_of(0).objective
    draw = objective.draw(KEY, 0, jnp.arange(6), 6, "antithetic")
    x = random_images(model_of(0), 6)
    grad = jax.grad(lambda logits: objective.terms(lambda *_: logits, x, draw).nelbo.sum())(
        jnp.zeros((*x.shape, 2))
    )
    mask = visible(draw.sigma, objective.split(draw.t)[1])
    assert (np.asarray(grad)[np.asarray(mask)] == 0).all()
    assert (np.abs(grad).max(-1)[~mask] > 0).all()


def test_steps_are_spread_over_all_stages():
    objective = model_of(0).objective
    assert (objective.D, objective.stages, objective.steps, objective.values) == (4, 3, 12, 4)
    t = objective.draw(KEY, 5, jnp.arange(24), 24, "antithetic").t
    assert np.bincount(t).tolist() == [2] * 12
    stage, within = objective.split(jnp.arange(12))
    assert stage.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert within.tolist() == [0, 1, 2, 3] * 3
    parts = [
        objective.draw(KEY, 5, index, 24, "uniform") for index in jnp.arange(24).reshape(2, 12)
    ]
    whole = objective.draw(KEY, 5, jnp.arange(24), 24, "uniform")
    np.testing.assert_array_equal(jnp.concatenate([p.t for p in parts]), whole.t)
    np.testing.assert_array_equal(jnp.concatenate([p.sigma for p in parts]), whole.sigma)


def test_a_blind_guess_of_all_digits_is_one_bit_per_bit():
    model = tiny_model(classes=16, objective="upscale", upscale={"branch": 4})
    draw = model.objective.draw(KEY, 0, jnp.arange(8), 8, "antithetic")
    terms = model.objective.terms(
        lambda x, mask, t: jnp.zeros((*x.shape, 4)), random_images(model, 8), draw
    )
    np.testing.assert_allclose(model.objective.loss(terms, 0.0), 4, rtol=1e-6)


@every_kind
def test_every_parameter_gets_a_gradient(kind):
    model = model_of(kind, side=4, levels=2)
    x = random_images(model, 12)
    draw = model.objective.draw(KEY, 0, jnp.arange(12), 12, "antithetic")
    grads = jax.jit(jax.grad(lambda p: model.objective.terms(model.bind(p), x, draw).nelbo.sum()))(
        tiny_params(model)
    )
    idle = {
        jax.tree_util.keystr(path)
        for path, grad in jax.tree_util.tree_leaves_with_path(grads)
        if np.abs(grad).max() < 1e-4
    }
    assert idle == {"['middle_0']['attention']['key']['bias']"}

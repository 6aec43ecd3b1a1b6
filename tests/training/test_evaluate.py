from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.objective import Draw
from ardm.training.evaluate import Evaluator
from tests.training.setting import tiny_images, tiny_model

pytestmark = pytest.mark.slow


def lively(model):
    """Parameters far from the initial ones, with which all predictions are equal."""
    random = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(0.2 * random.standard_normal(leaf.shape), leaf.dtype),
        model.shapes,
    )


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def params(model):
    return lively(model)


def test_the_same_arguments_give_the_same_estimate(model, params):
    images = tiny_images(20)
    one, other = (Evaluator(model, seed=1)(params, images, passes=2) for _ in range(2))
    assert one == other
    assert (one.images, one.passes) == (20, 2)
    assert Evaluator(model, seed=2)(params, images, passes=2) != one


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_size_of_a_chunk_does_not_matter(model, params, chunk):
    images = tiny_images(20)
    usual = Evaluator(model, seed=1)(params, images)
    estimate = Evaluator(model, seed=1, chunk=chunk)(params, images)
    np.testing.assert_allclose(estimate, usual, rtol=1e-5)


def test_more_passes_draw_anew_and_narrow_the_error(model, params):
    images = tiny_images(20)
    one, many = (Evaluator(model, seed=1)(params, images, passes=n) for n in (1, 9))
    assert many.nelbo_nats != one.nelbo_nats
    assert many.se_nats < 0.7 * one.se_nats


def test_bits_per_dimension_are_nats_over_d_ln_2(model, params):
    estimate = Evaluator(model, seed=1)(params, tiny_images(20))
    assert estimate.nelbo_nats == pytest.approx(estimate.nelbo_bpd * 16 * np.log(2))
    assert estimate.se_nats == pytest.approx(estimate.se_bpd * 16 * np.log(2))


def test_a_single_image_has_no_standard_error(model, params):
    assert Evaluator(model, seed=1)(params, tiny_images(1)).se_bpd == 0.0


def test_dropout_is_off(params, model):
    without = tiny_model(dropout=0.0)
    images = tiny_images(20)
    assert Evaluator(model, 1)(params, images) == Evaluator(without, 1)(params, images)


def test_the_mean_is_that_over_all_orders_and_steps():
    model = tiny_model(side=2, dropout=0.0)
    params = lively(model)
    image = tiny_images(1, side=2)
    orders = np.array(list(permutations(range(4))), np.int32)
    sigma = np.repeat(orders, 4, axis=0).reshape(-1, 2, 2, 1)
    t = np.tile(np.arange(4, dtype=np.int32), len(orders))
    draw = Draw(jnp.asarray(sigma), jnp.asarray(t), jax.random.split(jax.random.key(0), len(t)))
    every = jnp.repeat(jnp.asarray(image), len(t), axis=0)
    mean = jax.jit(lambda p: model.objective.terms(model.bind(p), every, draw).nelbo.mean())
    exact = float(mean(params))
    estimate = Evaluator(model, seed=1, chunk=64)(params, np.repeat(image, 1024, axis=0), passes=2)
    assert estimate.se_nats < 0.1 * exact
    assert estimate.nelbo_nats == pytest.approx(exact, abs=3 * estimate.se_nats)

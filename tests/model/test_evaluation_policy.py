from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model import policy
from ardm.model.evaluation import evaluate, log_likelihood, padded, places
from tests.compiling import compilations
from tests.model.tiny import compiled, random_images, tiny_model, tiny_params

pytestmark = pytest.mark.slow


KEY = jax.random.key(4)
MODEL = tiny_model()
PARAMS = tiny_params(MODEL)
compiled_evaluate = jax.jit(evaluate, static_argnames=("model", "count"))


def run(model, params, x, bounds, pass_=0):
    """Estimates for a set of images under a policy; None is one dimension per call."""
    n = len(x)
    index, place = jnp.arange(n), places(KEY, pass_, n)
    return compiled_evaluate(model, params, x, KEY, pass_, index, place, n, bounds)


def test_a_padded_policy_does_not_tell_its_budget_by_its_shape():
    np.testing.assert_array_equal(padded(np.array([0, 3]), 5), [0, 3, 5, 5, 5, 5])
    np.testing.assert_array_equal(padded(np.arange(5), 5), [0, 1, 2, 3, 4, 5])


def test_under_one_step_per_call_the_estimate_is_the_usual_one():
    x, bounds = random_images(MODEL, 8), padded(np.arange(4), 4)
    for pass_ in range(3):
        estimates, usual = (run(MODEL, PARAMS, x, policy, pass_) for policy in (bounds, None))
        np.testing.assert_array_equal(estimates.t, usual.t)
        np.testing.assert_allclose(estimates.nelbo, usual.nelbo, rtol=1e-5)


def test_policies_are_measured_with_the_same_draws():
    """If t is the start of a segment, the estimate equals that of one dimension per call."""
    x = random_images(MODEL, 64)
    usual = run(MODEL, PARAMS, x, None)
    for starts in ([0], [0, 2], [0, 1, 3]):
        estimates = run(MODEL, PARAMS, x, padded(np.array(starts), 4))
        np.testing.assert_array_equal(estimates.t, usual.t)
        same = np.isin(estimates.t, starts)
        np.testing.assert_allclose(estimates.nelbo[same], usual.nelbo[same], rtol=1e-5)
        assert not np.allclose(estimates.nelbo[~same], usual.nelbo[~same])


def exact_cost(x, starts):
    """The cost of a policy for one image, over all orders, segment by segment."""
    orders = jnp.asarray(list(permutations(range(4))), jnp.int32).reshape(-1, 2, 2, 1)
    images = jnp.repeat(x, len(orders), axis=0)
    total = 0.0
    for left, right in policy.segments(starts, 4):
        t = jnp.full(len(orders), left)
        logits = compiled(MODEL)(PARAMS, images, orders < left, t)
        log_p = np.asarray(MODEL.output.log_prob(logits, images))
        segment = (np.asarray(orders) >= left) & (np.asarray(orders) < right)
        total -= np.where(segment, log_p, 0.0).sum() / len(orders)
    return total


@pytest.mark.parametrize("starts", [[0], [0, 1], [0, 3], [0, 1, 3], [0, 1, 2, 3]])
def test_the_mean_over_orders_and_segments_is_the_cost_of_generating_by_the_policy(starts):
    x, n = random_images(MODEL, 1), 2048
    images, bounds = jnp.repeat(x, n, axis=0), padded(np.array(starts), 4)
    estimates = np.asarray(run(MODEL, PARAMS, images, bounds).nelbo)
    expected = exact_cost(x, np.array(starts))
    error = estimates.std() / np.sqrt(n)
    assert error < 0.05 * expected
    assert estimates.mean() == pytest.approx(expected, rel=1e-5, abs=4 * error)


def test_one_program_serves_all_budgets():
    x = random_images(MODEL, 8)
    compiled_evaluate.clear_cache()
    with compilations() as programs:
        for budget in range(1, 5):
            run(MODEL, PARAMS, x, padded(policy.uniform(4, budget), 4), 9)
    assert len([name for name in programs if "evaluate" in name]) == 1


def test_a_single_call_sees_nothing_and_so_does_not_depend_on_the_order():
    images = jnp.repeat(random_images(MODEL, 1), 8, axis=0)
    one = run(MODEL, PARAMS, images, padded(np.array([0]), 4))
    np.testing.assert_allclose(one.nelbo, one.nelbo[0], rtol=1e-5)


STAGED = tiny_model(classes=4, objective="upscale", upscale={"branch": 2})


@pytest.mark.parametrize("starts", [[0, 4], [0, 3, 4, 5]])
def test_from_coarse_to_fine_the_mean_is_the_mean_of_exact_likelihoods_over_orders(starts):
    x, n, params = random_images(STAGED, 1), 4096, tiny_params(STAGED)
    images, bounds = jnp.repeat(x, n, axis=0), padded(np.array(starts), 8)
    estimates = np.asarray(run(STAGED, params, images, bounds).nelbo)
    orders = np.array(list(permutations(range(4)))).reshape(-1, 1, 2, 2, 1)
    predict = STAGED.bind(params)
    # The stages' orders are independent, so one order for both has the same mean.
    costs = [
        -log_likelihood(
            predict, np.asarray(x), np.repeat(order, 2, axis=0), np.array(starts),
            objective=STAGED.objective, batch=1,
        )[0]
        for order in orders
    ]  # fmt: skip
    error = estimates.std() / np.sqrt(n)
    assert error < 0.05 * np.mean(costs)
    assert estimates.mean() == pytest.approx(np.mean(costs), rel=1e-5, abs=4 * error)

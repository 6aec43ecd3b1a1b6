import numpy as np
import pytest

from ardm.errors import InputError
from ardm.model import policy
from ardm.training.estimates import PerImage, difference
from ardm.training.evaluate import Evaluator
from ardm.training.policy_costs import isotonic, measure, measure_steps
from tests.training.setting import tiny_images, tiny_model
from tests.training.test_evaluate import lively

pytestmark = pytest.mark.slow


MODEL = tiny_model()
PARAMS = lively(MODEL)
L = np.linspace(0.7, 0.2, 16).astype(np.float32)
IMAGES = tiny_images(20)


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator(MODEL, seed=1)


@pytest.fixture(scope="module")
def measured(evaluator):
    return measure(evaluator, PARAMS, L, IMAGES, [8, 2], passes=2)


def test_every_budget_is_measured_both_ways_and_one_step_per_call_at_the_end(measured):
    assert [(item.kind, item.budget) for item in measured] == [
        ("optimal", 2),
        ("uniform", 2),
        ("optimal", 8),
        ("uniform", 8),
        ("sequential", 16),
    ]
    np.testing.assert_array_equal(measured[0].starts, policy.optimal(L, [2])[2])
    np.testing.assert_array_equal(measured[3].starts, policy.uniform(16, 8))


def test_the_expectation_is_what_the_tracked_losses_promise(measured):
    for item in measured:
        assert item.expected_nats == policy.expected_nelbo(item.starts, L)
        assert item.expected_bpd == pytest.approx(item.expected_nats / (16 * np.log(2)))
    assert measured[-1].expected_nats == pytest.approx(L.sum(), rel=1e-6)


def test_the_measurement_is_the_evaluation_under_the_policy(measured, evaluator):
    assert measured[-1].found == evaluator(PARAMS, IMAGES, passes=2)
    assert measured[1].found == evaluator(PARAMS, IMAGES, passes=2, policy=policy.uniform(16, 2))
    assert measured[1].found != measured[-1].found
    assert (measured[1].found.images, measured[1].found.passes) == (20, 2)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_size_of_a_chunk_does_not_matter(chunk, measured):
    other = Evaluator(MODEL, seed=1, chunk=chunk)
    estimate = other(PARAMS, IMAGES, passes=2, policy=measured[0].starts)
    np.testing.assert_allclose(estimate, measured[0].found, rtol=1e-5)


def test_a_budget_of_all_steps_is_measured_once(evaluator):
    reported = []
    results = measure(evaluator, PARAMS, L, IMAGES[:4], [16], tell=reported.append)
    assert [item.kind for item in results] == ["sequential"]
    assert reported == results
    assert (results[0].extra.nelbo_nats, results[0].gain) == (0.0, None)


def test_an_impossible_budget_is_refused_before_anything_is_measured(evaluator):
    reported = []
    with pytest.raises(InputError, match="choose from 1 to 16"):
        measure(evaluator, PARAMS, L, IMAGES, [2, 17], tell=reported.append)
    assert not reported


def test_costs_are_differences_in_pairs(measured, evaluator):
    both = (MODEL.objective, MODEL.objective)
    sequential = evaluator.per_image(PARAMS, IMAGES, passes=2)
    best, uniform = (
        evaluator.per_image(PARAMS, IMAGES, passes=2, policy=item.starts) for item in measured[:2]
    )
    assert measured[0].extra == difference(best, sequential, both)
    assert measured[1].extra == difference(uniform, sequential, both)
    assert measured[0].gain == difference(uniform, best, both)
    assert measured[1].gain is None
    assert measured[0].extra.se_nats < measured[0].found.se_nats


def test_the_measured_losses_are_the_isotonic_fit_of_other_draws(evaluator):
    losses = measure_steps(evaluator, PARAMS, IMAGES, passes=8)
    assert losses.shape == (16,)
    assert (np.diff(losses) <= 0).all()
    total = evaluator.per_image(PARAMS, IMAGES, passes=8)
    assert not np.isclose(losses.sum(), total.nelbo.mean(), rtol=1e-9)
    assert losses.sum() == pytest.approx(total.nelbo.mean(), rel=0.2)


def test_the_isotonic_fit_averages_what_is_out_of_order_and_fills_gaps():
    t = np.array([[0, 1, 1, 2, 5, 15]], np.int32)
    nats = np.array([[3.0, 1.0, 3.0, 4.0, 1.0, 0.5]], np.float32)
    L = isotonic(PerImage(16 * nats, t), MODEL.objective)
    np.testing.assert_allclose(L[:3], [3.0, 8 / 3, 8 / 3], rtol=1e-6)
    np.testing.assert_allclose(L[5], 1.0)
    assert L[2] > L[3] > L[4] > L[5] > L[6] > L[15] == 0.5

import numpy as np
import pytest

from ardm.errors import InputError
from ardm.model import policy
from ardm.training.evaluate import Evaluator
from ardm.training.policies import measure
from tests.training.setting import tiny_images, tiny_model
from tests.training.test_evaluate import lively

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
    found = other(PARAMS, IMAGES, passes=2, policy=measured[0].starts)
    np.testing.assert_allclose(found, measured[0].found, rtol=1e-5)


def test_a_budget_of_all_steps_is_measured_once(evaluator):
    told = []
    found = measure(evaluator, PARAMS, L, IMAGES[:4], [16], tell=told.append)
    assert [item.kind for item in found] == ["sequential"]
    assert told == found


def test_an_impossible_budget_is_told_before_anything_is_measured(evaluator):
    told = []
    with pytest.raises(InputError, match="choose from 1 to 16"):
        measure(evaluator, PARAMS, L, IMAGES, [2, 17], tell=told.append)
    assert not told

import numpy as np
import pytest

from ardm.errors import InputError
from ardm.model import policy


@pytest.mark.parametrize("dims", [1, 2, 7, 784])
def test_uniform_policies_ascend_from_zero_in_even_segments(dims):
    for budget in {1, (dims + 1) // 2, dims}:
        starts = policy.uniform(dims, budget)
        assert starts.dtype == np.int32
        assert len(starts) == budget
        assert starts[0] == 0
        lengths = np.diff(np.append(starts, dims))
        assert lengths.min() >= 1
        assert lengths.max() - lengths.min() <= 1


def test_a_full_budget_is_one_step_per_call():
    np.testing.assert_array_equal(policy.uniform(9, 9), np.arange(9))


@pytest.mark.parametrize("budget", [0, -1, 785])
def test_impossible_budgets_name_the_range(budget):
    with pytest.raises(InputError, match=f"a budget of {budget} network calls.* 1 to 784"):
        policy.uniform(784, budget)

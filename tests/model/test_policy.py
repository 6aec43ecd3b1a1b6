import time
from itertools import combinations, pairwise

import numpy as np
import pytest

from ardm.errors import InputError
from ardm.model import policy


def losses(dims, seed=0):
    """Noisy losses that fall with the generation step, like those that training tracks."""
    random = np.random.default_rng(seed)
    return (np.exp(-3 * np.arange(dims) / dims) + 0.1 * random.random(dims)).astype(np.float32)


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
    np.testing.assert_array_equal(policy.optimal(losses(9), [9])[9], np.arange(9))


@pytest.mark.parametrize("budget", [0, -1, 785])
def test_impossible_budgets_name_the_range(budget):
    with pytest.raises(InputError, match=f"a budget of {budget} network calls.* 1 to 784"):
        policy.uniform(784, budget)
    with pytest.raises(InputError, match=f"a budget of {budget} network calls.* 1 to 784"):
        policy.optimal(losses(784), [10, budget])


@pytest.mark.parametrize("dims", range(1, 9))
@pytest.mark.parametrize("seed", range(5))
def test_the_dynamic_program_finds_what_trying_all_policies_finds(dims, seed):
    L = np.random.default_rng(seed).exponential(size=dims)
    falling = np.sort(L)[::-1]
    policies = policy.optimal(L, range(1, dims + 1))
    assert list(policies) == list(range(1, dims + 1))
    for budget, starts in policies.items():
        best = min(
            sum((r - l) * falling[l] for l, r in zip((0, *cut), (*cut, dims), strict=True))  # noqa: E741
            for cut in combinations(range(1, dims), budget - 1)
        )
        assert len(policy.segments(starts, dims)) == budget
        assert policy.expected_nelbo(starts, L) == pytest.approx(best, rel=1e-12)


def test_budgets_found_together_are_those_found_alone_in_any_order():
    L = losses(50)
    together = policy.optimal(L, [20, 3, 7, 3])
    assert list(together) == [3, 7, 20]
    for budget, starts in together.items():
        assert starts.dtype == np.int32
        np.testing.assert_array_equal(starts, policy.optimal(L, [budget])[budget])


def test_a_larger_budget_never_costs_more_and_uniform_ones_never_less():
    L = losses(100)
    costs = [policy.expected_nelbo(p, L) for p in policy.optimal(L, range(1, 101)).values()]
    assert all(more <= less for less, more in pairwise(costs))
    assert costs[-1] == pytest.approx(L.sum())
    for budget, cost in enumerate(costs, 1):
        assert cost <= policy.expected_nelbo(policy.uniform(100, budget), L) + 1e-9


def test_steps_that_chance_made_cheap_are_not_exploited():
    L = losses(60)
    shuffled = np.random.default_rng(1).permutation(L)
    for budget, starts in policy.optimal(L, [4, 9]).items():
        np.testing.assert_array_equal(policy.optimal(shuffled, [budget])[budget], starts)
        assert policy.expected_nelbo(starts, shuffled) >= L.sum()


def test_calls_are_spent_where_the_loss_falls():
    L = np.repeat([3.0, 1.0, 0.5], [30, 50, 20])
    np.testing.assert_array_equal(policy.optimal(L, [3])[3], [0, 30, 80])


def test_the_policies_of_a_color_image_take_a_moment():
    begin = time.monotonic()
    policies = policy.optimal(losses(3072), [10, 20, 50, 100])
    # It takes less than a second on an idle machine.
    assert time.monotonic() - begin < 10
    assert [len(starts) for starts in policies.values()] == [10, 20, 50, 100]


def test_a_training_that_diverged_has_no_policy():
    L = losses(10)
    L[3:5] = np.nan
    with pytest.raises(InputError, match="L is not finite at 2 of 10 steps"):
        policy.optimal(L, [2])


@pytest.mark.parametrize("known", [0, 3])
def test_segments_follow_each_other_from_what_is_known_to_the_end(known):
    pairs = policy.segments(np.array([0, 2, 5]) + known, 9, known=known)
    assert pairs == [(known, 2 + known), (2 + known, 5 + known), (5 + known, 9)]


@pytest.mark.parametrize("starts", [[], [0, 4], [3, 3], [3, 5, 4], [3, 9]])
def test_what_are_no_start_times_is_refused(starts):
    with pytest.raises(InputError, match=r"begin a segment at \[3\] and stay below 9"):
        policy.segments(np.array(starts, int), 9, known=3)


def test_what_remains_is_generated_from_the_step_that_the_known_dimensions_leave():
    L = losses(20)
    falling = policy.sorted_down(L)
    for budget in (1, 4, 13):
        starts = policy.remaining(L, 7, budget)
        np.testing.assert_array_equal(starts, policy.optimal(falling[7:], [budget])[budget] + 7)
        np.testing.assert_array_equal(
            policy.remaining(L, 7, budget, evenly=True), policy.uniform(13, budget) + 7
        )
        assert len(policy.segments(starts, 20, known=7)) == budget
    np.testing.assert_array_equal(policy.remaining(L, 0, 6), policy.optimal(L, [6])[6])
    with pytest.raises(InputError, match="a budget of 14 network calls: choose from 1 to 13"):
        policy.remaining(L, 7, 14)


STAGES, D = 3, 3
LIMITS = range(STAGES, STAGES * D + 1)


def test_a_uniform_policy_gives_every_stage_its_share():
    assert policy.uniform(4, 3, stages=3).tolist() == [0, 4, 8]
    assert policy.uniform(4, 7, stages=3).tolist() == [0, 2, 4, 6, 8, 9, 10]
    assert policy.uniform(4, 12, stages=3).tolist() == list(range(12))
    for budget in (2, 13):
        with pytest.raises(InputError, match="choose from 3 to 12"):
            policy.uniform(4, budget, stages=3)


@pytest.mark.parametrize("seed", range(5))
def test_with_stages_too_it_finds_what_trying_all_policies_finds(seed):
    L = np.random.default_rng(seed).exponential(size=STAGES * D)
    falling = np.concatenate([np.sort(part)[::-1] for part in np.split(L, STAGES)])
    policies = policy.optimal(L, LIMITS, STAGES)
    begins = set(range(0, len(L), D))
    for budget, starts in policies.items():
        best = min(
            float(np.diff([*cut, len(L)]) @ falling[list(cut)])
            for cut in combinations(range(len(L)), budget)
            if begins <= set(cut)
        )
        assert begins <= set(starts.tolist())
        assert len(policy.segments(starts, D, end=len(L))) == budget
        assert policy.expected_nelbo(starts, L, STAGES) == pytest.approx(best, rel=1e-12)
    with pytest.raises(InputError, match="a budget of 2 network calls: choose from 3 to 9"):
        policy.optimal(L, [2], STAGES)


@pytest.mark.parametrize("evenly", [False, True])
def test_at_every_stage_what_is_known_is_not_generated(evenly):
    L, known = losses(STAGES * 5), 2
    for budget in (3, 5, 9):
        starts = policy.remaining(L, known, budget, stages=STAGES, evenly=evenly)
        pairs = policy.segments(starts, 5, known=known, end=len(L))
        assert len(pairs) == budget
        covered = [t for left, right in pairs for t in range(left, right)]
        assert covered == [t for t in range(len(L)) if t % 5 >= known]


@pytest.mark.parametrize("starts", [[], [0], [0, 4], [0, 4, 9], [0, 4, 4, 8], [0, 4, 8, 12]])
def test_a_policy_that_forgets_a_stage_is_refused(starts):
    with pytest.raises(InputError, match=r"begin a segment at \[0, 4, 8\] and stay below 12"):
        policy.segments(np.array(starts, int), 4, end=12)


@pytest.mark.parametrize("starts", [[1, 4], [1, 2, 4, 5], [0, 1, 5]])
def test_no_segment_begins_among_what_is_known(starts):
    with pytest.raises(InputError, match=r"begin a segment at \[1, 5\] and stay below 8"):
        policy.segments(np.array(starts, int), 4, known=1, end=8)

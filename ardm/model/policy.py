"""Policies: which steps one network call covers (arXiv 2110.02037, Parallelized ARDMs).

Everything here works on numpy arrays of L, the expected negative log-likelihood of one dimension at
each generation step, in nats.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, Integer
from numpy import ndarray

from ardm.errors import InputError

_BLOCK = 64
"""Ends of segments looked at together: few enough for the processor's cache."""


def uniform(D: int, budget: int) -> Int[ndarray, " budget"]:
    """Divide D generation steps evenly among a number of network calls.

    Args:
        D: the number of generation steps.
        budget: the number of network calls, 1 .. D.

    Returns:
        Start times, ascending int32, the first is 0; `uniform(D, D)` is one step per call.

    Raises:
        InputError: the budget is not within 1 .. D.
    """
    _check([budget], D)
    return (np.arange(budget, dtype=np.int64) * D // budget).astype(np.int32)


def optimal(L: Float[ndarray, " D"], budgets: Sequence[int]) -> dict[int, Int[ndarray, " budget"]]:
    """Find the cheapest policy of each budget: a shortest path through the generation steps.

    `cost[k, r] = min over l < r of cost[k-1, l] + (r - l) * L[l]`, for all budgets in one pass
    (section 4 of arXiv 2110.02037).

    Args:
        L: as tracked in training; it is sorted first, see `sorted_down`.
        budgets: numbers of network calls, each 1 .. D, in any order.

    Returns:
        By budget, ascending: start times, ascending int32, the first is 0.

    Raises:
        InputError: a budget is not within 1 .. D, or L is not finite.
    """
    D = len(L)
    _check(budgets, D)
    if not np.isfinite(L).all():
        raise InputError(
            f"L is not finite at {(~np.isfinite(L)).sum()} of {D} steps: no policy can be found "
            "from a training that diverged"
        )
    wanted = sorted(set(budgets))
    came_from = _shortest_paths(sorted_down(L), wanted[-1]) if wanted else []
    return {budget: _trace(came_from[:budget], D) for budget in wanted}


def remaining(
    L: Float[ndarray, " D"], known: int, budget: int, *, evenly: bool = False
) -> Int[ndarray, " budget"]:
    """The policy that generates what is not known.

    L is what a random set of known dimensions leaves to expect; for a set of another kind, such as
    the upper half of an image, the policy found is a good one, not the best.

    Args:
        L: as tracked in training.
        known: how many dimensions are given, below D.
        budget: the number of network calls, 1 .. D - known.
        evenly: divide the steps evenly, whatever L says.

    Returns:
        Start times, ascending int32, the first is `known`.

    Raises:
        InputError: the budget is not within 1 .. D - known, or L is not finite.
    """
    rest = sorted_down(L)[known:]
    starts = uniform(len(rest), budget) if evenly else optimal(rest, [budget])[budget]
    return starts + np.int32(known)


def sorted_down(L: Float[ndarray, " D"]) -> Float[ndarray, " D"]:
    """L in float64, sorted to be non-increasing.

    The true L never increases, for seeing more tells more. A noisy estimate does, and the dynamic
    programme would start its segments at the steps that chance made look cheap.
    """
    return np.sort(np.asarray(L, np.float64))[::-1]


def expected_nelbo(policy: Integer[ndarray, " budget"], L: Float[ndarray, " D"]) -> float:
    """The bound that L promises for a policy: the sum of `(r - l) * L[l]` over its segments [l, r).

    Args:
        policy: start times, ascending, the first 0.
        L: as tracked in training; it is sorted first, as for `optimal`.

    Returns:
        Nats per image; with one step per call it is the sum of L.
    """
    lengths = np.diff([*policy, len(L)])
    return float(lengths @ sorted_down(L)[policy])


def segments(
    policy: Integer[ndarray, " budget"], D: int, known: int = 0
) -> list[tuple[np.int32, np.int32]]:
    """The segments [l, r) of a policy, one per network call.

    Args:
        policy: start times, ascending, the first `known`.
        D: the number of generation steps.
        known: how many dimensions are given, so that nothing is to be generated before that step.

    Raises:
        InputError: these are no start times.
    """
    bounds = [*policy.tolist(), D]
    pairs = list(pairwise(bounds))
    if bounds[0] != known or any(left >= right for left, right in pairs):
        raise InputError(
            f"a policy must ascend from {known} and stay below {D}, received {bounds[:-1]}"
        )
    return [(np.int32(left), np.int32(right)) for left, right in pairs]


def _check(budgets: Sequence[int], D: int) -> None:
    wrong = [budget for budget in budgets if not 1 <= budget <= D]
    if wrong:
        listed = " and of ".join(str(budget) for budget in wrong)
        raise InputError(f"a budget of {listed} network calls: choose from 1 to {D}")


def _shortest_paths(L: Float[ndarray, " D"], budget: int) -> list[Int[ndarray, " ends"]]:
    """For 1, 2 .. `budget` calls and each end r = 0 .. D, where the last segment begins."""
    D = len(L)
    cost = np.full(D + 1, np.inf)
    cost[0] = 0.0
    price = [(ends, begins, prices) for ends, begins, prices in _prices(L)]
    came_from = []
    for _ in range(budget):
        begin = np.zeros(D + 1, np.int32)
        reached = np.full(D + 1, np.inf)
        for ends, begins, prices in price:
            total = cost[begins] + prices
            begin[ends] = total.argmin(axis=1)
            reached[ends] = total.min(axis=1)
        came_from.append(begin)
        cost = reached
    return came_from


def _prices(L: Float[ndarray, " D"]) -> Iterator[tuple[slice, slice, Float[ndarray, "ends l"]]]:
    """`(r - l) * L[l]` for a block of ends r at a time and all l that any of them may have."""
    D = len(L)
    for first in range(1, D + 1, _BLOCK):
        last = min(first + _BLOCK, D + 1)
        length = np.arange(first, last)[:, None] - np.arange(last - 1)
        yield (
            slice(first, last),
            slice(0, last - 1),
            np.where(length > 0, length * L[: last - 1], np.inf),
        )


def _trace(came_from: list[Int[ndarray, " ends"]], D: int) -> Int[ndarray, " budget"]:
    starts, end = [], D
    for begin in reversed(came_from):
        end = int(begin[end])
        starts.append(end)
    return np.array(starts[::-1], np.int32)

"""Policies: how the generation steps are divided among network calls.

See "Parallelized ARDMs" in arXiv 2110.02037. L is an array with the expected negative
log-likelihood of one dimension at each generation step, in nats.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, Integer
from numpy import ndarray

from ardm.errors import InputError

_BLOCK = 64
"""Number of segment ends that are computed together; so few fit the processor's cache."""


def uniform(D: int, budget: int, stages: int = 1) -> Int[ndarray, " budget"]:
    """The uniform policy: calls are divided evenly among stages, steps of a stage among its calls.

    Args:
        D: number of generation steps of a stage.
        budget: number of network calls, S .. S D.
        stages: S, the number of stages of Upscale ARDM; 1 otherwise.

    Returns:
        Start times 0 .. S D - 1, ascending, int32; every stage begins with one. `uniform(D, D)`
        has one step per call.

    Raises:
        InputError: the budget is out of bounds.
    """
    require_budgets([budget], D, stages)
    shares = np.diff(np.arange(stages + 1, dtype=np.int64) * budget // stages)
    starts = [np.arange(n) * D // n + stage * D for stage, n in enumerate(shares)]
    return np.concatenate(starts).astype(np.int32)


def optimal(
    L: Float[ndarray, " steps"], budgets: Sequence[int], stages: int = 1
) -> dict[int, Int[ndarray, " budget"]]:
    """Find the cheapest policy of each budget, by dynamic programming.

    `cost[k, r] = min over l < r of cost[k-1, l] + (r - l) * L[l]`, for all budgets in one pass
    (section 4 of arXiv 2110.02037). No segment [l, r) reaches from one stage into the next.

    Args:
        L: nats per dimension at the steps of all stages; it is sorted first, see `sorted_down`.
        budgets: numbers of network calls, each S .. S D, in any order.
        stages: S, the number of stages of Upscale ARDM; 1 otherwise.

    Returns:
        By budget, ascending: the policy's start times, ascending, int32; the first is 0.

    Raises:
        InputError: a budget is out of bounds, or L is not finite.
    """
    require_budgets(budgets, len(L) // stages, stages)
    if not np.isfinite(L).all():
        raise InputError(
            f"L is not finite at {(~np.isfinite(L)).sum()} of {len(L)} steps: no policy can be "
            "found from a training that diverged"
        )
    wanted = sorted(set(budgets))
    came_from = _shortest_paths(sorted_down(L, stages), wanted[-1], stages) if wanted else []
    return {budget: _trace(came_from[:budget], len(L)) for budget in wanted}


def remaining(
    L: Float[ndarray, " steps"],
    known: int,
    budget: int,
    *,
    stages: int = 1,
    evenly: bool = False,
    wanted: int | None = None,
) -> Int[ndarray, " budget"]:
    """A policy that generates the dimensions that are not known.

    L is an expectation over random sets of known dimensions. For a known set of another kind, such
    as the upper half of an image, the policy is good but not optimal.

    Args:
        L: nats per dimension at the steps of all stages.
        known: number of known dimensions, below D.
        budget: number of network calls, from 1 to `wanted` per stage.
        stages: S, the number of stages of Upscale ARDM; 1 otherwise.
        evenly: whether to divide the steps evenly, whatever L is.
        wanted: number of dimensions to generate; default: all that are not known.

    Returns:
        Start times, ascending, int32; the first of every stage is its step `known`.

    Raises:
        InputError: the budget is out of bounds, or L is not finite.
    """
    D = len(L) // stages
    size = D - known if wanted is None else wanted
    unknown = sorted_down(L, stages).reshape(stages, D)[:, known : known + size]
    if evenly:
        starts = uniform(size, budget, stages)
    else:
        starts = optimal(unknown.reshape(-1), [budget], stages)[budget]
    stage, within = np.divmod(starts, np.int32(size))
    return stage * np.int32(D) + np.int32(known) + within


def sorted_down(L: Float[ndarray, " steps"], stages: int = 1) -> Float[ndarray, " steps"]:
    """Sort L to be non-increasing within every stage; float64.

    The true L never increases, because more visible dimensions never make a prediction worse on
    average. A noisy estimate does increase, and the dynamic program would start segments at steps
    that look cheap by chance.
    """
    by_stage = np.asarray(L, np.float64).reshape(stages, -1)
    return np.sort(by_stage, axis=1)[:, ::-1].reshape(-1)


def expected_nelbo(
    policy: Integer[ndarray, " budget"], L: Float[ndarray, " steps"], stages: int = 1
) -> float:
    """The bound of a policy as L predicts it: the sum of `(r - l) * L[l]` over segments [l, r).

    Args:
        policy: start times, ascending; every stage begins with one.
        L: nats per dimension at the steps of all stages; it is sorted first, as for `optimal`.
        stages: S, the number of stages of Upscale ARDM; 1 otherwise.

    Returns:
        The bound in nats per image; with one step per call it is the sum of L.
    """
    lengths = np.diff([*policy, len(L)])
    return float(lengths @ sorted_down(L, stages)[policy])


def segments(
    policy: Integer[ndarray, " budget"],
    D: int,
    *,
    known: int = 0,
    first: int | None = None,
    end: int | None = None,
) -> list[tuple[np.int32, np.int32]]:
    """The segments [l, r) of a policy, one per network call.

    Args:
        policy: start times, ascending.
        D: number of generation steps of a stage.
        known: number of known dimensions; every stage begins at this step.
        first: first step of the policy; default: `known`.
        end: one past the last step of the policy; default: D. A policy of all S stages ends at S D.

    Raises:
        InputError: the array is not a valid list of start times.
    """
    end, first = D if end is None else end, known if first is None else first
    bounds = [*policy.tolist(), end]
    begins = [first, *(begin for begin in range(known, end, D) if begin > first)]
    required = begins if known < D else []
    ascending = all(left < right for left, right in pairwise(bounds))
    too_early = [left for left in bounds[:-1] if left < first or left % D < known]
    if too_early or not ascending or not set(required) <= set(bounds[:-1]):
        raise InputError(
            f"a policy must ascend, begin a segment at {required} and stay below {end}, received "
            f"{bounds[:-1]}"
        )
    return [
        (np.int32(left), np.int32(min(right, left - left % D + D)))
        for left, right in pairwise(bounds)
    ]


def require_budgets(budgets: Sequence[int], D: int, stages: int = 1) -> None:
    """Raise an error unless every budget is possible.

    Args:
        budgets: numbers of network calls.
        D: number of generation steps of a stage.
        stages: S, the number of stages of Upscale ARDM; 1 otherwise.

    Raises:
        InputError: a budget is out of bounds.
    """
    wrong = [budget for budget in budgets if not stages <= budget <= stages * D]
    if wrong:
        listed = " and of ".join(str(budget) for budget in wrong)
        raise InputError(
            f"a budget of {listed} network calls: choose from {stages} to {stages * D}"
        )


def _shortest_paths(
    L: Float[ndarray, " steps"], budget: int, stages: int
) -> list[Int[ndarray, " ends"]]:
    """Start of the last segment of the cheapest path to r, by number of calls and by r.

    Returns:
        One array for each number of calls 1, 2 .. `budget`, indexed by r = 0 .. S D.
    """
    cost = np.full(len(L) + 1, np.inf)
    cost[0] = 0.0
    prices = list(_prices(L, stages))
    came_from = []
    for _ in range(budget):
        begin = np.zeros(len(L) + 1, np.int32)
        reached = np.full(len(L) + 1, np.inf)
        for ends, begins, price in prices:
            total = cost[begins] + price
            begin[ends] = begins.start + total.argmin(axis=1)
            reached[ends] = total.min(axis=1)
        came_from.append(begin)
        cost = reached
    return came_from


def _prices(
    L: Float[ndarray, " steps"], stages: int
) -> Iterator[tuple[slice, slice, Float[ndarray, "ends l"]]]:
    """Yield slices of ends r and of starts l, and the prices `(r - l) * L[l]` of their segments."""
    D = len(L) // stages
    for stage in range(0, len(L), D):
        for first in range(stage + 1, stage + D + 1, _BLOCK):
            last = min(first + _BLOCK, stage + D + 1)
            begins = slice(stage, last - 1)
            length = np.arange(first, last)[:, None] - np.arange(begins.start, begins.stop)
            yield slice(first, last), begins, np.where(length > 0, length * L[begins], np.inf)


def _trace(came_from: list[Int[ndarray, " ends"]], D: int) -> Int[ndarray, " budget"]:
    starts, end = [], D
    for begin in reversed(came_from):
        end = int(begin[end])
        starts.append(end)
    return np.array(starts[::-1], np.int32)

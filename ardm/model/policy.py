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


def uniform(D: int, budget: int, stages: int = 1) -> Int[ndarray, " budget"]:
    """Divide network calls evenly among the stages, and the steps of a stage among its calls.

    Args:
        D: the number of generation steps of a stage.
        budget: the number of network calls, S .. S D.
        stages: S, of Upscale ARDM; else 1.

    Returns:
        Start times 0 .. S D - 1, ascending int32; every stage begins with one. `uniform(D, D)` is
        one step per call.

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
    """Find the cheapest policy of each budget: a shortest path through the generation steps.

    `cost[k, r] = min over l < r of cost[k-1, l] + (r - l) * L[l]`, for all budgets in one pass
    (section 4 of arXiv 2110.02037). No segment [l, r) reaches from one stage into the next.

    Args:
        L: as tracked in training, of all stages; it is sorted first, see `sorted_down`.
        budgets: numbers of network calls, each 1 .. D, with S stages S .. S D; in any order.
        stages: S, of Upscale ARDM; else 1.

    Returns:
        By budget, ascending: start times, ascending int32, the first is 0.

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
    L: Float[ndarray, " steps"], known: int, budget: int, *, stages: int = 1, evenly: bool = False
) -> Int[ndarray, " budget"]:
    """The policy that generates what is not known.

    L is what a random set of known dimensions leaves to expect; for a set of another kind, such as
    the upper half of an image, the policy found is a good one, not the best.

    Args:
        L: as tracked in training, of all stages.
        known: how many dimensions are given, below D.
        budget: the number of network calls, 1 .. D - known for every stage.
        stages: S, of Upscale ARDM; else 1.
        evenly: divide the steps evenly, whatever L says.

    Returns:
        Start times, ascending int32, the first of every stage is its `known`.

    Raises:
        InputError: the budget is out of bounds, or L is not finite.
    """
    rest = sorted_down(L, stages).reshape(stages, -1)[:, known:]
    size = rest.shape[1]
    if evenly:
        starts = uniform(size, budget, stages)
    else:
        starts = optimal(rest.reshape(-1), [budget], stages)[budget]
    stage, within = np.divmod(starts, np.int32(size))
    return stage * np.int32(size + known) + np.int32(known) + within


def sorted_down(L: Float[ndarray, " steps"], stages: int = 1) -> Float[ndarray, " steps"]:
    """L in float64, sorted to be non-increasing within every stage.

    The true L never increases, for seeing more tells more. A noisy estimate does, and the dynamic
    programme would start its segments at the steps that chance made look cheap.
    """
    by_stage = np.asarray(L, np.float64).reshape(stages, -1)
    return np.sort(by_stage, axis=1)[:, ::-1].reshape(-1)


def expected_nelbo(
    policy: Integer[ndarray, " budget"], L: Float[ndarray, " steps"], stages: int = 1
) -> float:
    """The bound that L promises for a policy: the sum of `(r - l) * L[l]` over its segments [l, r).

    Args:
        policy: start times, ascending, every stage begins with one.
        L: as tracked in training, of all stages; it is sorted first, as for `optimal`.
        stages: S, of Upscale ARDM; else 1.

    Returns:
        Nats per image; with one step per call it is the sum of L.
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
        D: the number of generation steps of a stage.
        known: how many dimensions are given, so that at every stage nothing is to be generated
            before that step.
        first: where the policy begins; default: `known`.
        end: where it ends; default: D, and S D for a policy of all S stages.

    Raises:
        InputError: these are no start times.
    """
    end, first = D if end is None else end, known if first is None else first
    bounds = [*policy.tolist(), end]
    begins = [first, *(begin for begin in range(known, end, D) if begin > first)]
    needed = begins if known < D else []
    ascending = all(left < right for left, right in pairwise(bounds))
    given = [left for left in bounds[:-1] if left < first or left % D < known]
    if given or not ascending or not set(needed) <= set(bounds[:-1]):
        raise InputError(
            f"a policy must ascend, begin a segment at {needed} and stay below {end}, received "
            f"{bounds[:-1]}"
        )
    return [
        (np.int32(left), np.int32(min(right, left - left % D + D)))
        for left, right in pairwise(bounds)
    ]


def require_budgets(budgets: Sequence[int], D: int, stages: int = 1) -> None:
    """Refuse budgets that no policy has.

    Args:
        budgets: numbers of network calls.
        D: the number of generation steps of a stage.
        stages: S, of Upscale ARDM; else 1.

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
    """For 1, 2 .. `budget` calls and each end r = 0 .. S D, where the last segment begins."""
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
    """`(r - l) * L[l]` for a block of ends r at a time and all l that any of them may have."""
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

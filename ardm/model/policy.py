"""Policies: which steps one network call covers (arXiv 2110.02037, Parallelized ARDMs)."""

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from ardm.errors import InputError


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
    if not 1 <= budget <= D:
        raise InputError(f"a budget of {budget} network calls: choose from 1 to {D}")
    return (np.arange(budget, dtype=np.int64) * D // budget).astype(np.int32)

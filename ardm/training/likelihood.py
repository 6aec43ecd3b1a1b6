"""The exact likelihood of a set of images, under single orders and under all of them together."""

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key, UInt8

from ardm.model import orders
from ardm.model.build import Model, Params
from ardm.model.exact import log_likelihood
from ardm.model.objective import Objective
from ardm.training.evaluate import chunk_size
from ardm.training.state import seed_key

_EXACT = 2**31 - 2
"""Folded into the seed's key, so that these orders are those of no training step."""


class Score(NamedTuple):
    """A negative log-likelihood: its mean over the images, with the standard error of the mean."""

    nll_bpd: float
    nll_nats: float
    se_bpd: float
    se_nats: float


class Exact(NamedTuple):
    """The exact negative log-likelihood of images.

    Attributes:
        orders: under each order.
        mean: of an order on average. Over all orders it is the bound that training minimises.
        ensemble: of all orders together, `-log mean exp`: that of a model that draws one of them.
        images: how many.
        calls: of the network, per image and order.
    """

    orders: list[Score]
    mean: Score
    ensemble: Score
    images: int
    calls: int


def exact(
    model: Model,
    params: Params,
    seed: int,
    images: UInt8[np.ndarray, "n h w c"],
    number: int,
    starts: Integer[np.ndarray, " budget"],
    tell: Callable[[int, Score], None] = lambda order, score: None,
) -> Exact:
    """Compute the exact likelihood under a number of random orders, each shared by all images.

    Args:
        model: what the parameters belong to.
        params: the parameters, usually the EMA.
        seed: of the run; order i is a function of it and of i.
        images: values 0 .. K-1.
        number: of orders, 1 or more.
        starts: start times of the network calls, ascending from 0; one per dimension for the
            model itself, fewer for what sampling by a policy gives.
        tell: told of each order and its score when it is done.

    Returns:
        The scores.
    """
    key = jax.random.fold_in(seed_key(seed), _EXACT)
    batch = min(len(images), chunk_size())
    predict, objective = model.bind(params), model.objective
    log_p = np.empty((number, len(images)))
    scores = []
    for i in range(number):
        chosen = _orders(objective, jax.random.fold_in(key, i))
        log_p[i] = log_likelihood(predict, images, chosen, starts, objective=objective, batch=batch)
        scores.append(_score(log_p[i], objective.values))
        tell(i + 1, scores[-1])
    together = reduce(np.logaddexp, log_p) - np.log(number)
    mean = _score(log_p.mean(axis=0), objective.values)
    ensemble = _score(together, objective.values)
    return Exact(scores, mean, ensemble, len(images), len(starts))


def _orders(objective: Objective, key: Key[Array, ""]) -> Int[np.ndarray, "stages h w m"]:
    """A random order for every stage."""
    keys = [objective.stage_keys(key[None], stage)[0] for stage in range(objective.stages)]
    return np.stack([orders.fixed("random", own, objective.shape) for own in keys])


def _score(log_p: Float[np.ndarray, " n"], values: int) -> Score:
    nats, bits = float(-log_p.mean()), values * np.log(2.0)
    se = float(log_p.std(ddof=1) / np.sqrt(len(log_p))) if len(log_p) > 1 else 0.0
    return Score(float(nats / bits), nats, float(se / bits), se)

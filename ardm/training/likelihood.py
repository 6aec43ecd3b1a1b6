"""The exact likelihood of a set of images, under single orders and under all of them together."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key, UInt8

from ardm.model import draws
from ardm.model.build import Model, Params
from ardm.model.evaluation import log_likelihood
from ardm.model.objective import Objective
from ardm.training.evaluate import chunk_size
from ardm.training.state import seed_key

_TIMED = 5
"""Network calls that are timed to estimate the time of all calls."""

EXACT = 2**31 - 2
"""Folded into the seed's key, so that these orders are those of no training step."""


class Score(NamedTuple):
    """A negative log-likelihood: its mean over the images, with the standard error of the mean."""

    nll_bpd: float
    nll_nats: float
    se_bpd: float
    se_nats: float


class Together(NamedTuple):
    """What the first k orders are worth together.

    Attributes:
        orders: k.
        ensemble: `-log mean exp` of their likelihoods: that of a model that draws one of them.
        best: of each image the smallest, and ln k nats to say which it is.
    """

    orders: int
    ensemble: Score
    best: Score


class Exact(NamedTuple):
    """The exact negative log-likelihood of images.

    Attributes:
        orders: under each order.
        mean: of an order on average. Over all orders it is the bound that training minimises.
        together: of the first 1, 2, 4, ... orders, and of all.
        images: how many.
        calls: of the network, per image and order.
    """

    orders: list[Score]
    mean: Score
    together: list[Together]
    images: int
    calls: int

    @property
    def ensemble(self) -> Score:
        """That of all orders together."""
        return self.together[-1].ensemble


class Likelihood:
    """The exact likelihood of images under random orders, each shared by all images.

    Args:
        model: what the parameters belong to.
        params: the parameters, usually the EMA.
        seed: order i is a function of it and of i.
        images: values 0 .. K-1.
        starts: start times of the network calls, ascending from 0; one per dimension for the
            model itself, fewer for what sampling by a policy gives.
    """

    def __init__(
        self,
        model: Model,
        params: Params,
        seed: int,
        images: UInt8[np.ndarray, "n h w c"],
        starts: Integer[np.ndarray, " budget"],
    ) -> None:
        self._objective = model.objective
        self._key = jax.random.fold_in(seed_key(seed), EXACT)
        self._images, self._starts = images, starts
        self._batch = min(len(images), chunk_size())
        self._batches = -(-len(images) // self._batch)
        devices = jax.local_devices()[: self._batches]
        self._lanes = [(device, model.bind(jax.device_put(params, device))) for device in devices]

    @property
    def devices(self) -> int:
        """How many devices share the images."""
        return len(self._lanes)

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self._images)

    @property
    def calls_per_image(self) -> int:
        """Calls of the network for one image and order."""
        return len(self._starts)

    @property
    def calls(self) -> int:
        """Calls of the network for one order of all images."""
        return len(self._starts) * self._batches

    def seconds(self) -> float:
        """About how long one order will take, from a few calls, the first of which compile."""
        starts, end = self._starts[:_TIMED], None
        if len(starts) < len(self._starts):
            end = int(starts[-1]) + 1
        few = self._images[: len(self._lanes) * self._batch]
        self._log_p(0, few, starts, end, lambda: None)
        begin = time.perf_counter()
        self._log_p(0, few, starts, end, lambda: None)
        each = (time.perf_counter() - begin) / (len(starts) * len(self._lanes))
        return each * self.calls

    def compute(
        self,
        number: int,
        tell: Callable[[int, Score], None] = lambda order, score: None,
        called: Callable[[], None] = lambda: None,
    ) -> Exact:
        """Compute it under a number of orders.

        Args:
            number: of orders, 1 or more.
            tell: told of each order and its score when it is done.
            called: called after each call of the network.
        """
        log_p = np.empty((number, len(self._images)))
        scores, values = [], self._objective.values
        for i in range(number):
            log_p[i] = self._log_p(i, self._images, self._starts, None, called)
            scores.append(_score(log_p[i], values))
            tell(i + 1, scores[-1])
        sizes = sorted({*(2**power for power in range(number.bit_length())), number})
        together = [_together(log_p[:size], values) for size in sizes]
        mean = _score(log_p.mean(axis=0), values)
        return Exact(scores, mean, together, len(self._images), len(self._starts))

    def _log_p(
        self,
        order: int,
        images: UInt8[np.ndarray, "n h w c"],
        starts: Integer[np.ndarray, " budget"],
        end: int | None,
        called: Callable[[], None],
    ) -> Float[np.ndarray, " n"]:
        """Log-likelihoods under an order; every device computes those of some images."""
        sigma = _orders(self._objective, jax.random.fold_in(self._key, order))
        batches = -(-len(images) // self._batch)
        bounds = np.arange(len(self._lanes) + 1) * batches // len(self._lanes) * self._batch

        def of_lane(number: int) -> Float[np.ndarray, " some"]:
            device, predict = self._lanes[number]
            some = images[bounds[number] : bounds[number + 1]]
            with jax.default_device(device):
                return log_likelihood(
                    predict,
                    some,
                    sigma,
                    starts,
                    objective=self._objective,
                    end=end,
                    batch=self._batch,
                    called=called,
                )

        with ThreadPoolExecutor(len(self._lanes), thread_name_prefix="ardm-exact") as threads:
            return np.concatenate(list(threads.map(of_lane, range(len(self._lanes)))))


def _together(log_p: Float[np.ndarray, "k n"], values: int) -> Together:
    orders = len(log_p)
    ensemble = reduce(np.logaddexp, log_p) - np.log(orders)
    best = log_p.max(axis=0) - np.log(orders)
    return Together(orders, _score(ensemble, values), _score(best, values))


def _orders(objective: Objective, key: Key[Array, ""]) -> Int[np.ndarray, "stages h w m"]:
    """A random order for every stage."""
    keys = [objective.stage_keys(key[None], stage)[0] for stage in range(objective.stages)]
    return np.stack([draws.fixed("random", own, objective.shape) for own in keys])


def _score(log_p: Float[np.ndarray, " n"], values: int) -> Score:
    nats, bits = float(-log_p.mean()), values * np.log(2.0)
    se = float(log_p.std(ddof=1) / np.sqrt(len(log_p))) if len(log_p) > 1 else 0.0
    return Score(float(nats / bits), nats, float(se / bits), se)

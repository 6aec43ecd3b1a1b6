"""The exact likelihood of a set of images, under single orders and under several together."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key, UInt

from ardm.errors import InputError
from ardm.model import draws
from ardm.model.build import Model, Params
from ardm.model.evaluation import log_likelihood
from ardm.model.objective import Objective
from ardm.training.evaluate import chunk_size
from ardm.training.state import seed_key

_TIMED = 5
"""Number of network calls that are timed to estimate the time of all calls."""

EXACT = 2**31 - 2
"""Folded into the seed's key, so that these orders differ from those of every training step."""


class Score(NamedTuple):
    """A negative log-likelihood: its mean over the images, with the standard error of the mean."""

    nll_bpd: float
    nll_nats: float
    se_bpd: float
    se_nats: float


class Together(NamedTuple):
    """Likelihoods of models that combine the first k orders.

    Attributes:
        orders: k.
        ensemble: `-log mean exp` of the log-likelihoods: the score of a model that draws one of the
            orders at random.
        best: for each image the score of its best order, plus ln k nats that encode which it is.
    """

    orders: int
    ensemble: Score
    best: Score


class Exact(NamedTuple):
    """The exact negative log-likelihood of images.

    Attributes:
        orders: the score of each order.
        mean: the score of an order on average. Over all possible orders it is the bound that
            training minimizes.
        together: scores of the first 1, 2, 4, ... orders combined, and of all of them.
        images: number of images.
        calls: number of network calls per image and order.
    """

    orders: list[Score]
    mean: Score
    together: list[Together]
    images: int
    calls: int

    @property
    def ensemble(self) -> Score:
        """The score of all orders combined as an ensemble."""
        return self.together[-1].ensemble


class Likelihood:
    """The exact likelihood of images under random orders, each shared by all images.

    Args:
        model: the model.
        params: the parameters, usually the EMA.
        seed: a number; order i is a function of the seed and of i.
        images: values 0 .. K-1.
        starts: start times of the network calls, ascending from 0. With one call per dimension the
            likelihood is that of the model, with fewer that of sampling by this policy.
    """

    def __init__(
        self,
        model: Model,
        params: Params,
        seed: int,
        images: UInt[np.ndarray, "n h w c"],
        starts: Integer[np.ndarray, " budget"],
    ) -> None:
        self._objective = model.objective
        self._key = jax.random.fold_in(seed_key(seed), EXACT)
        self._images, self._starts = images, starts
        self._batch = min(len(images), chunk_size())
        self._batches = -(-len(images) // self._batch)
        devices = jax.local_devices()[: self._batches]
        self._devices = [(device, model.bind(jax.device_put(params, device))) for device in devices]

    @property
    def devices(self) -> int:
        """How many devices share the images."""
        return len(self._devices)

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self._images)

    @property
    def calls_per_image(self) -> int:
        """Number of network calls for one image and order."""
        return len(self._starts)

    @property
    def calls(self) -> int:
        """Number of network calls for one order and all images."""
        return len(self._starts) * self._batches

    def seconds(self) -> float:
        """Estimate from a few network calls how long one order takes, in seconds.

        The calls run twice, because the first ones compile; only the second run is timed.
        """
        starts, end = self._starts[:_TIMED], None
        if len(starts) < len(self._starts):
            end = int(starts[-1]) + 1
        sample = self._images[: len(self._devices) * self._batch]
        self._log_p(0, sample, starts, end, lambda: None)
        begin = time.perf_counter()
        self._log_p(0, sample, starts, end, lambda: None)
        per_call = (time.perf_counter() - begin) / (len(starts) * len(self._devices))
        return per_call * self.calls

    def compute(
        self,
        number: int,
        tell: Callable[[int, Score], None] = lambda order, score: None,
        called: Callable[[], None] = lambda: None,
    ) -> Exact:
        """Compute the likelihood under a number of orders.

        Args:
            number: number of orders, 1 or more.
            tell: called after each order with the number of finished orders and the order's score.
            called: called after each network call.

        Raises:
            InputError: several orders of a model that has only one.
        """
        self._require_orders(number)
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

    def per_image(self, number: int) -> Float[np.ndarray, "number n"]:
        """The log-likelihood of every image under each of a number of orders, in nats."""
        self._require_orders(number)
        return np.stack(
            [self._log_p(i, self._images, self._starts, None, lambda: None) for i in range(number)]
        )

    def order(self, number: int) -> Int[np.ndarray, "stages h w m"]:
        """The order of a number, one for each stage."""
        return _orders(self._objective, jax.random.fold_in(self._key, number))

    def _require_orders(self, number: int) -> None:
        if number > 1 and self._objective.natural_order:
            raise InputError(
                f"{number} orders: an autoregressive model has only the natural order; leave "
                "--orders out, or use a model of any order (model.objective oa, upscale or "
                "permuted)"
            )

    def _log_p(
        self,
        order: int,
        images: UInt[np.ndarray, "n h w c"],
        starts: Integer[np.ndarray, " budget"],
        end: int | None,
        called: Callable[[], None],
    ) -> Float[np.ndarray, " n"]:
        """Log-likelihoods of images under an order. Each device computes a part of them."""
        sigma = self.order(order)
        batches = -(-len(images) // self._batch)
        bounds = np.arange(len(self._devices) + 1) * batches // len(self._devices) * self._batch

        def on_device(number: int) -> Float[np.ndarray, " part"]:
            device, predict = self._devices[number]
            part = images[bounds[number] : bounds[number + 1]]
            with jax.default_device(device):
                return log_likelihood(
                    predict,
                    part,
                    sigma,
                    starts,
                    objective=self._objective,
                    end=end,
                    batch=self._batch,
                    called=called,
                )

        with ThreadPoolExecutor(len(self._devices), thread_name_prefix="ardm-exact") as threads:
            return np.concatenate(list(threads.map(on_device, range(len(self._devices)))))


def _together(log_p: Float[np.ndarray, "k n"], values: int) -> Together:
    orders = len(log_p)
    ensemble = reduce(np.logaddexp, log_p) - np.log(orders)
    best = log_p.max(axis=0) - np.log(orders)
    return Together(orders, _score(ensemble, values), _score(best, values))


def _orders(objective: Objective, key: Key[Array, ""]) -> Int[np.ndarray, "stages h w m"]:
    """Draw an order for every stage; an autoregressive model has only one."""
    if objective.natural_order:
        return np.asarray(objective.orders(key[None]))
    stage_keys = [objective.stage_keys(key[None], stage)[0] for stage in range(objective.stages)]
    return np.stack([draws.fixed("random", stage_key, objective.shape) for stage_key in stage_keys])


def _score(log_p: Float[np.ndarray, " n"], values: int) -> Score:
    nats, bits = float(-log_p.mean()), values * np.log(2.0)
    se = float(log_p.std(ddof=1) / np.sqrt(len(log_p))) if len(log_p) > 1 else 0.0
    return Score(float(nats / bits), nats, float(se / bits), se)

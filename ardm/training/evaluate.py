"""The NELBO of a set of images, with its standard error."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Int32, Integer, Key, UInt8

from ardm.model.build import Model, Params
from ardm.model.evaluation import evaluate as evaluate_batch
from ardm.model.parallel import evaluate_policy, padded
from ardm.training.lanes import THREADS, Lanes
from ardm.training.state import seed_key

_EVALUATION = 2**31 - 1
"""Folded into the seed's key, so that an evaluation shares no draw with a training step."""


@partial(jax.jit, static_argnames=("model", "batch"))
def _nelbo(
    model: Model,
    params: Params,
    key: Key[Array, ""],
    number: Int[Array, ""],
    bounds: Int32[Array, " bounds"] | None,
    images: UInt8[Array, "b h w c"],
    index: Int[Array, " b"],
    batch: int,
) -> Float[Array, " b"]:
    if bounds is None:
        return evaluate_batch(model, params, images, key, number, index, batch).nelbo
    return evaluate_policy(model, params, images, bounds, key, number, index, batch).nelbo


class Disturbed(Exception):
    """The evaluation was broken off because there is something more urgent to do."""


class Estimate(NamedTuple):
    """A NELBO over a set of images: the mean of one estimate per image and pass."""

    nelbo_bpd: float
    nelbo_nats: float
    se_bpd: float
    """Standard error of the mean, from the spread between images; antithetic t make it an upper
    estimate."""
    se_nats: float
    images: int
    passes: int


def chunk_size() -> int:
    """Images per call of the network that suit the device."""
    # On CPU small chunks stay in the cache.
    return 16 if jax.default_backend() == "cpu" else 256


class Evaluator:
    """Evaluates parameters on images; compiled once.

    Args:
        model: what the parameters belong to.
        seed: of the run.
        chunk: images per call of the network; by default what suits the device.
    """

    def __init__(self, model: Model, seed: int, chunk: int | None = None) -> None:
        self.model, self._seed = model, seed
        self._lanes = Lanes(THREADS)
        self._chunk = chunk or chunk_size()

    def __call__(
        self,
        params: Params,
        images: UInt8[np.ndarray, "n h w c"],
        passes: int = 1,
        go_on: Callable[[], bool] = lambda: True,
        policy: Integer[np.ndarray, " budget"] | None = None,
    ) -> Estimate:
        """Estimate the NELBO.

        Args:
            params: the parameters, usually the EMA.
            images: values 0 .. K-1.
            passes: times that each image is evaluated, each with another order and t.
            go_on: asked before each call of the network.
            policy: start times of network calls, whose NELBO it is then; default: one dimension per
                call.

        Returns:
            The estimate; the same bits for the same arguments.

        Raises:
            Disturbed: it was not to go on.
        """
        per_pass = np.stack(
            [self._one_pass(params, images, i, go_on, policy) for i in range(passes)]
        )
        per_image = per_pass.astype(np.float64).mean(axis=0)
        nats = float(per_image.mean())
        se = float(per_image.std(ddof=1) / np.sqrt(len(images))) if len(images) > 1 else 0.0
        bits = self.model.objective.values * np.log(2.0)
        return Estimate(nats / bits, nats, se / bits, se, len(images), passes)

    def _one_pass(
        self,
        params: Params,
        images: UInt8[np.ndarray, "n h w c"],
        number: int,
        go_on: Callable[[], bool],
        policy: Integer[np.ndarray, " budget"] | None,
    ) -> np.ndarray:
        n, lanes = len(images), self._lanes.count
        bounds = None if policy is None else padded(policy, self.model.objective.steps)
        nelbo = partial(_nelbo, self.model, batch=n)
        key = jax.random.fold_in(seed_key(self._seed), _EVALUATION)
        shared = (params, key, np.int32(number), bounds)
        copies = self._lanes.spread(jax.device_put(shared, jax.local_devices()[0]))
        estimates = []
        for first in range(0, n, self._chunk * lanes):
            if not go_on():
                raise Disturbed
            # The last chunks are filled up with repetitions, so that there is one program only.
            index = np.arange(first, first + self._chunk * lanes, dtype=np.int32) % n
            chunks = [(images[some], some) for some in index.reshape(lanes, -1)]
            estimates += [np.asarray(found) for found in self._lanes.map(nelbo, copies, chunks)]
        return np.concatenate(estimates)[:n]

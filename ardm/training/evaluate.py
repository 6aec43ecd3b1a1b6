"""The NELBO of a set of images, with its standard error."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Int, Int32, Integer, Key, UInt

from ardm.model.build import Model, Params
from ardm.model.evaluation import Estimates, padded, places
from ardm.model.evaluation import evaluate as evaluate_batch
from ardm.training.devices import THREADS, Devices
from ardm.training.estimates import Estimate, PerImage, estimate
from ardm.training.state import seed_key

_EVALUATION = 2**31 - 1
"""Folded into the seed's key, so that an evaluation shares no draw with a training step."""


@partial(jax.jit, static_argnames=("model", "count"))
def _estimates(
    model: Model,
    params: Params,
    key: Key[Array, ""],
    pass_: Int[Array, ""],
    bounds: Int32[Array, " bounds"] | None,
    images: UInt[Array, "b h w c"],
    index: Int[Array, " b"],
    place: Int[Array, " b"],
    count: int,
) -> Estimates:
    return evaluate_batch(model, params, images, key, pass_, index, place, count, bounds)


class Disturbed(Exception):
    """The evaluation was interrupted, because `go_on` returned False."""


def chunk_size() -> int:
    """A number of images per network call that suits the device."""
    # On CPU the features of a small chunk fit the cache.
    return 16 if jax.default_backend() == "cpu" else 256


class Evaluator:
    """Evaluates parameters on images. The program is compiled once for all parameters.

    Args:
        model: the model.
        seed: seed of the orders and generation steps.
        chunk: images per network call; the default suits the device.
    """

    def __init__(self, model: Model, seed: int, chunk: int | None = None) -> None:
        self.model, self._seed = model, seed
        self._devices = Devices(THREADS)
        self._chunk = chunk or chunk_size()

    def __call__(
        self,
        params: Params,
        images: UInt[np.ndarray, "n h w c"],
        passes: int = 1,
        go_on: Callable[[], bool] = lambda: True,
        policy: Integer[np.ndarray, " budget"] | None = None,
    ) -> Estimate:
        """Estimate the mean NELBO of the images; the arguments are those of `per_image`."""
        estimates = self.per_image(params, images, passes, go_on, policy)
        return estimate(estimates, self.model.objective)

    def per_image(
        self,
        params: Params,
        images: UInt[np.ndarray, "n h w c"],
        passes: int = 1,
        go_on: Callable[[], bool] = lambda: True,
        policy: Integer[np.ndarray, " budget"] | None = None,
        first: int = 0,
    ) -> PerImage:
        """Estimate the NELBO of every image.

        Args:
            params: the parameters, usually the EMA.
            images: values 0 .. K-1.
            passes: number of times that each image is evaluated, each time with another order and
                t.
            go_on: called before each network call; False interrupts the evaluation.
            policy: start times of the network calls whose NELBO is estimated; by default one
                dimension is generated per call.
            first: number of the first pass. The draws of a pass depend on its number.

        Returns:
            The estimates; the same bits for the same arguments. The draws depend only on the seed,
            the number of the pass and the number of images, so two policies or two models can be
            compared in pairs.

        Raises:
            Disturbed: `go_on` returned False.
        """
        results = [self._one_pass(params, images, first + i, go_on, policy) for i in range(passes)]
        return PerImage(*map(np.stack, zip(*results, strict=True)))

    def _one_pass(
        self,
        params: Params,
        images: UInt[np.ndarray, "n h w c"],
        number: int,
        go_on: Callable[[], bool],
        policy: Integer[np.ndarray, " budget"] | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        n, devices = len(images), self._devices.count
        bounds = None if policy is None else padded(policy, self.model.objective.steps)
        estimates = partial(_estimates, self.model, count=n)
        key = jax.random.fold_in(seed_key(self._seed), _EVALUATION)
        place = places(key, number, n)
        shared = (params, key, np.int32(number), bounds)
        copies = self._devices.replicate(jax.device_put(shared, jax.local_devices()[0]))
        results: list[Estimates] = []
        for first in range(0, n, self._chunk * devices):
            if not go_on():
                raise Disturbed
            # The last chunks are filled up with repeated images, so that one program serves all.
            index = np.arange(first, first + self._chunk * devices, dtype=np.int32) % n
            chunks = [(images[part], part, place[part]) for part in index.reshape(devices, -1)]
            results += jax.tree.map(np.asarray, self._devices.map(estimates, copies, chunks))
        nelbo, t = (np.concatenate(parts)[:n] for parts in zip(*results, strict=True))
        return nelbo, t

"""Generation of images by a model of any objective."""

import numpy as np
from jaxtyping import Array, Int, Integer, Key
from numpy import ndarray

from ardm.errors import InputError
from ardm.model import policy, sampling, upscale_sampling
from ardm.model.build import Model, Params
from ardm.model.samples import Samples
from ardm.model.upscale import Upscale


def uniform(model: Model, budget: int) -> Int[ndarray, " budget"]:
    """Divide the generation steps of a model evenly among a number of network calls.

    Args:
        model: whose steps they are.
        budget: the number of network calls; at most one per step, at least one per stage.

    Returns:
        Start times, ascending int32.

    Raises:
        InputError: the budget is out of bounds.
    """
    if isinstance(model.objective, Upscale):
        return upscale_sampling.uniform(model.objective, budget)
    return policy.uniform(model.D, budget)


def nearest_budget(model: Model, budget: int) -> int:
    """The possible number of network calls nearest to the one wished for."""
    return int(np.clip(budget, model.objective.stages, model.objective.steps))


def generate(
    model: Model,
    params: Params,
    key: Key[Array, ""],
    num: int,
    starts: Integer[ndarray, " budget"],
    *,
    order: Int[ndarray, "h w m"] | None = None,
    batch: int = 16,
    temperature: float = 1.0,
    keep_chain: bool = False,
) -> Samples:
    """Generate images, each in a random order of its own unless one is given for all.

    Args:
        model: what the parameters belong to.
        params: of the network.
        key: image i draws from `fold_in(key, i)` alone, whatever `num` and `batch`.
        num: how many images.
        starts: start times of the network calls, such as `uniform` gives.
        order: of the dimensions, for all images; not for Upscale, where each stage has its own.
        batch: images generated together, at most.
        temperature: below 1 gives likelier images.
        keep_chain: whether to keep the images after every call.

    Returns:
        The images, and the chain if asked for.

    Raises:
        InputError: the policy, the number of images or the temperature is not usable.
    """
    predict = model.bind(params)
    if isinstance(model.objective, Upscale):
        if order is not None:
            raise InputError("one order for all images is of the order-agnostic objective only")
        return upscale_sampling.sample(
            predict,
            key,
            num,
            starts,
            objective=model.objective,
            batch=batch,
            temperature=temperature,
            keep_chain=keep_chain,
        )
    return sampling.sample(
        predict,
        key,
        num,
        model.shape,
        starts,
        output=model.output,
        order=order,
        batch=batch,
        temperature=temperature,
        keep_chain=keep_chain,
    )

"""Sampling and scoring as single pure functions of named arrays, to be exported."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, UInt
from numpy import ndarray

from ardm.model import policy, sampling
from ardm.model.build import Model, Params
from ardm.model.sampling import Given

_KEYS = "threefry2x32"
"""As `ardm.training.state.seed_key`."""

Named = Mapping[str, Array]
"""Parameters by their dotted names, such as `mid.conv.kernel`."""

Sampler = Callable[[Named, UInt[Array, ""]], UInt[Array, "num h w c"]]
Scorer = Callable[[Named, UInt[Array, "num h w c"], UInt[Array, ""]], Float[Array, " num"]]


def named(params: Params) -> dict[str, Any]:
    """The leaves of a tree, such as the parameters or their shapes, by their dotted names."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def sampler(model: Model, num: int, starts: Integer[ndarray, " budget"]) -> Sampler:
    """A function that draws images with a fixed policy, all network calls in one loop.

    It draws the same images as `ardm.model.sampling.sample` with the key of the same seed.

    Args:
        model: the model.
        num: number of images.
        starts: start times of the network calls.
    """
    objective = model.objective
    segments = policy.segments(starts, objective.D, end=objective.steps)
    lefts, rights = (np.array(ends, np.int32) for ends in zip(*segments, strict=True))
    nothing = Given.nothing(objective)

    def sample(params: Named, seed: UInt[Array, ""]) -> UInt[Array, "num h w c"]:
        predict = model.bind(_params(model, params))
        keys = sampling.image_keys(jax.random.key(seed, impl=_KEYS), jnp.arange(num))
        inputs = sampling.Inputs(keys, nothing.known, nothing.wanted, None)
        begin = jnp.zeros((num, *objective.image_shape), objective.value_type)

        def call(number: Array, state: sampling.State) -> sampling.State:
            left, right = jnp.asarray(lefts)[number], jnp.asarray(rights)[number]
            state = jax.lax.cond(
                left % objective.D == 0,
                lambda: sampling.stage(inputs, state.x, left // objective.D, objective),
                lambda: state,
            )
            return sampling.reveal(predict, objective, state, left, right, jnp.float32(1.0))

        state = sampling.stage(inputs, begin, jnp.int32(0), objective)
        return jax.lax.fori_loop(0, len(lefts), call, state).x

    return sample


def scorer(model: Model, num: int) -> Scorer:
    """A function that estimates the NELBO of images, in nats, each at one generation step.

    The steps are spread over all of them; the mean over many images and seeds is unbiased.

    Args:
        model: the model.
        num: number of images.
    """
    objective = model.objective

    def score(
        params: Named, images: UInt[Array, "num h w c"], seed: UInt[Array, ""]
    ) -> Float[Array, " num"]:
        key = jax.random.key(seed, impl=_KEYS)
        draw = objective.draw(key, 0, jnp.arange(num), num, "antithetic")
        predict = partial(model.predict, _params(model, params))
        return objective.terms(predict, images, draw).nelbo

    return score


def _params(model: Model, params: Named) -> Params:
    """The tree of parameters with these names."""
    paths, tree = jax.tree_util.tree_flatten_with_path(model.shapes)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths]
    return jax.tree.unflatten(tree, [params[name] for name in names])

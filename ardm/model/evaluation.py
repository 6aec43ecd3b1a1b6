"""Estimates of the evidence lower bound on given images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, Integer, Key
from numpy import ndarray

from ardm.model import draws
from ardm.model.build import Model, Params

_PLACES = 2**32 - 2
"""Folded in place of an image's index for what all images of a pass share; no index is as large."""


class Estimates(NamedTuple):
    """One estimate of the bound per image, in nats, and the generation step that it was given."""

    nelbo: Float[Array, " b"]
    t: Int[Array, " b"]


def places(key: Key[Array, ""], pass_: int, count: int) -> Int32[ndarray, " n"]:
    """Give every image of a set a place on the comb of generation steps: a random permutation.

    Were an image's index its place, the generation step would follow the order of the set. Of a set
    that is sorted by difficulty the easy images would get early steps and the hard ones late steps,
    and no standard error would show what that does to the mean.

    Args:
        key: of the evaluation.
        pass_: number of the pass within the evaluation.
        count: of images.

    Returns:
        A permutation of 0 .. count-1.
    """
    shared = jax.random.fold_in(jax.random.fold_in(key, pass_), _PLACES)
    return np.asarray(jax.random.permutation(shared, count), np.int32)


def padded(policy: Integer[ndarray, " budget"], steps: int) -> Int32[ndarray, " bounds"]:
    """A policy as an array whose length does not tell its budget, so that one program serves all.

    Args:
        policy: start times, ascending, every stage begins with one.
        steps: the number of generation steps, of all stages.

    Returns:
        The start times, and `steps` from there on.
    """
    bounds = np.full(steps + 1, steps, np.int32)
    bounds[: len(policy)] = policy
    return bounds


def evaluate(
    model: Model,
    params: Params,
    x: Integer[Array, "b h w c"],
    key: Key[Array, ""],
    pass_: int | Integer[Array, ""],
    index: Integer[Array, " b"],
    place: Integer[Array, " b"],
    count: int,
    bounds: Int32[Array, " bounds"] | None = None,
) -> Estimates:
    """Estimate the bound of every image, without dropout, from one generation step each.

    An image gets an order and a step t, antithetic over its set. One network call that generates
    the segment [l, r) knows at t no more than at l, so the estimate under a policy is that at the
    start l of the segment in which t lies (section 4 of arXiv 2110.02037). Neither the order nor t
    depends on the policy: costs of two policies on the same images are compared in pairs.

    Args:
        model: what the parameters belong to.
        params: of the network.
        x: images, values 0 .. K-1.
        key: of the evaluation.
        pass_: number of the pass within the evaluation; every one draws anew.
        index: of the images in their set.
        place: of the images on the comb, see `places`.
        count: of images in the set, over which the steps are spread.
        bounds: a policy, `padded`; by default one dimension per call.

    Returns:
        Unbiased estimates.
    """
    objective = model.objective
    t = draws.antithetic_times(key, pass_, place, count, objective.steps)
    start = t if bounds is None else bounds[jnp.searchsorted(bounds, t, side="right") - 1]
    draw = objective.draw(key, pass_, index, count, "uniform")._replace(t=start)
    return Estimates(objective.terms(model.bind(params), x, draw).nelbo, t)

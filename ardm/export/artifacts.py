"""Parameters as safetensors, and functions as serialized `jax.export` artifacts."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import export
from jaxtyping import Integer
from safetensors.numpy import save

from ardm.model import functions
from ardm.model.build import Model, Params

PLATFORMS = ("cpu", "cuda")

PARAMETERS, SAMPLER, SCORER = "model.safetensors", "sampler.jaxexport", "scorer.jaxexport"


def parameters(params: Params, metadata: dict[str, str]) -> bytes:
    """The parameters as safetensors, by their dotted names."""
    arrays = {name: np.asarray(leaf) for name, leaf in functions.named(params).items()}
    return save(arrays, metadata)


def sampler(model: Model, num: int, starts: Integer[np.ndarray, " budget"]) -> bytes:
    """The serialized function `sampler(params, seed)`, for CPUs and for NVIDIA GPUs."""
    return _serialized(functions.sampler(model, num, starts), _shapes(model), _SEED)


def scorer(model: Model, num: int) -> bytes:
    """The serialized function `scorer(params, images, seed)`."""
    images = jax.ShapeDtypeStruct((num, *model.shape), model.objective.value_type)
    return _serialized(functions.scorer(model, num), _shapes(model), images, _SEED)


_SEED = jax.ShapeDtypeStruct((), np.uint32)


def _shapes(model: Model) -> dict[str, jax.ShapeDtypeStruct]:
    return {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for name, leaf in functions.named(model.shapes).items()
    }


def _serialized(function: Callable[..., Any], *arguments: Any) -> bytes:
    exported = export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
    return bytes(exported.serialize())

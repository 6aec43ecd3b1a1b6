"""How a gradient becomes an update: clipping, the schedule of the learning rate, Adam or Muon.

All of it is Optax's. Parameters, gradients and updates are vectors, raveled as `ravel_pytree` does
it: XLA on CPU compiles a program of its own for every leaf otherwise.
"""

from collections import Counter, defaultdict
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from optax.contrib import MuonDimensionNumbers, muon

from ardm.model.build import Params
from ardm.training.config import TrainingConfig

_RMS = 0.2
"""Root mean square of Muon's updates before the learning rate, like that of Adam's (arXiv
2502.16982)."""

_ITERATIONS = 4
"""Of Newton and Schulz; the pre-conditioning makes up for the usual fifth (arXiv 2512.04632)."""

_REST = "rest"

_ADAMS = frozenset({"embed", "out"})
"""Parts of the network whose kernels are Adam's, too: they stand between numbers and features."""


def schedule(config: TrainingConfig) -> optax.Schedule:
    """Learning rate as a function of the training step."""
    rate, warmup = config.learning_rate, config.warmup
    begin = 0.0 if warmup else rate
    if config.schedule == "constant":
        return optax.warmup_constant_schedule(begin, rate, warmup)
    end = max(config.steps, warmup + 1)  # Optax counts the warm-up among the steps of the decay
    return optax.warmup_cosine_decay_schedule(begin, rate, warmup, end, config.final_learning_rate)


def optimizer(config: TrainingConfig, shapes: Params) -> optax.GradientTransformation:
    """The optimiser of a job, on raveled parameters, behind gradient clipping.

    Args:
        config: the `training` section.
        shapes: of the parameters as a tree.
    """
    clip = optax.identity() if config.clip is None else optax.clip_by_global_norm(config.clip)
    rate, pieces = schedule(config), _pieces(shapes)
    update = _muon if config.optimizer == "muon" else _adam
    return optax.chain(clip, update(rate, config.weight_decay, pieces))


def _adam(
    rate: optax.Schedule, decay: float, pieces: list["_Piece"]
) -> optax.GradientTransformation:
    """Adam; with a weight decay AdamW, of the same kernels that Muon moves."""
    if not decay:
        return optax.adam(rate)
    decays = np.concatenate([np.full(prod(p.shape), p.group != _REST) for p in pieces])

    def add_decay(updates: Any, flat: Any) -> Any:
        return updates + decay * jnp.where(decays, flat, 0.0)

    return optax.chain(
        optax.scale_by_adam(), optax.stateless(add_decay), optax.scale_by_learning_rate(rate)
    )


def _muon(
    rate: optax.Schedule, decay: float, pieces: list["_Piece"]
) -> optax.GradientTransformation:
    """Muon for matrices and convolutions, whose updates it orthogonalises; Adam for the rest.

    That Adam has Nesterov's momentum. Muon: Keller Jordan, "Muon: an optimizer for hidden layers in
    neural networks", 2024.
    """
    inner = muon(
        rate,
        weight_decay=decay,
        ns_steps=_ITERATIONS,
        preconditioning="aol",
        consistent_rms=_RMS,
        muon_weight_dimension_numbers={piece.group: _axes(piece) for piece in pieces},
    )

    def init(flat: Float[Array, " p"]) -> Any:
        return inner.init(_split(pieces, flat))

    def update(grads: Any, state: Any, flat: Any = None) -> tuple[Any, Any]:
        updates, state = inner.update(_split(pieces, grads), state, _split(pieces, flat))
        return _join(pieces, updates), state

    return optax.GradientTransformation(init, update)


class _Piece(NamedTuple):
    """One leaf's part of the raveled parameters.

    Attributes:
        group: kernels of one shape are Muon's together, as a stack: as many programs would take
            minutes to compile. All that is Adam's is one vector.
        shape: in its group.
    """

    group: str
    shape: tuple[int, ...]


def _pieces(shapes: Params) -> list[_Piece]:
    found = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(shapes)[0]:
        names = [key.key for key in path]
        if names[-1] == "kernel" and leaf.ndim > 1 and names[0] not in _ADAMS:
            found.append(_Piece("x".join(map(str, leaf.shape)), leaf.shape))
        else:
            found.append(_Piece(_REST, (leaf.size,)))
    return found


def _axes(piece: _Piece) -> MuonDimensionNumbers | None:
    """The axes that are summed over and the last one, behind that of the stack; None for Adam."""
    dims = len(piece.shape)
    return MuonDimensionNumbers(tuple(range(1, dims)), (dims,)) if dims > 1 else None


def _split(pieces: list[_Piece], flat: Float[Array, " p"]) -> dict[str, Float[Array, "..."]]:
    groups: dict[str, list[Array]] = defaultdict(list)
    ends = np.cumsum([prod(piece.shape) for piece in pieces])
    for piece, part in zip(pieces, jnp.split(flat, ends[:-1]), strict=True):
        groups[piece.group].append(part.reshape(piece.shape))
    return {
        name: jnp.concatenate(parts) if parts[0].ndim == 1 else jnp.stack(parts)
        for name, parts in groups.items()
    }


def _join(pieces: list[_Piece], groups: dict[str, Float[Array, "..."]]) -> Float[Array, " p"]:
    vectors = {name: group.reshape(-1) for name, group in groups.items()}
    taken: Counter[str] = Counter()
    parts = []
    for group, shape in pieces:
        begin, size = taken[group], prod(shape)
        parts.append(vectors[group][begin : begin + size])
        taken[group] += size
    return jnp.concatenate(parts)

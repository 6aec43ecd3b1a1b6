"""The training state: everything that a checkpoint holds, and how a gradient moves it."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, Key

from ardm.model.build import Model, Params
from ardm.training import kl
from ardm.training.config import TrainingConfig
from ardm.training.optimizer import optimizer


class TrainState(NamedTuple):
    """Complete state after `step` steps; with the seed it determines all that follows.

    Parameters, their average and Adam's moments are vectors, as `ravel_pytree` makes them of a
    tree: hundreds of small arrays take their time at every step, save and start. `Model.unravel`
    gives the tree.
    """

    step: Int[Array, ""]
    params: Float[Array, " p"]
    ema: Float[Array, " p"]
    opt_state: Any
    kl: kl.KLTracker


def seed_key(seed: int) -> Key[Array, ""]:
    """The key from which every random draw of a run is folded."""
    return jax.random.key(seed, impl="threefry2x32")


def init(model: Model, config: TrainingConfig, seed: int) -> TrainState:
    """The state before the first step."""
    # As one program: op by op it takes seconds.
    return _jitted_init(model, config, seed_key(seed))


def _init(model: Model, config: TrainingConfig, key: Key[Array, ""]) -> TrainState:
    tree = model.init(key)
    params, _ = ravel_pytree(tree)
    return TrainState(
        step=jnp.int32(0),
        params=params,
        ema=params,
        opt_state=optimizer(config, tree).init(params),
        kl=kl.init(model.objective.steps, model.objective.choices),
    )


# Run once, so that optimising it is a waste of seconds; the bits are the same.
_jitted_init = jax.jit(
    _init, static_argnums=(0, 1), compiler_options={"xla_backend_optimization_level": 1}
)


def place(state: TrainState) -> TrainState:
    """Bind a state to this process's device.

    A step's results are bound; a state that is not would have every program compiled twice.
    """
    return jax.device_put(state, jax.local_devices()[0])


@cache
def template(model: Model, config: TrainingConfig) -> TrainState:
    """Shapes and dtypes of a state, without computing one."""
    return jax.eval_shape(partial(_init, model, config), seed_key(0))


def ema_decay(config: TrainingConfig, step: Int[Array, ""]) -> Float[Array, ""]:
    """Decay of the parameter average at a step: `min(ema, (1 + step) / (10 + step))`.

    The warm-up keeps the average near the parameters while they still move fast.
    """
    return jnp.minimum(config.ema, (1.0 + step) / (10.0 + step))


def is_finite(tree: Any) -> Bool[Array, ""]:
    """Whether all numbers of a tree of arrays are finite; usable inside and outside of a program.

    Args:
        tree: of arrays of any type; integers are finite.
    """
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in floats]).all()


def not_finite_part(tree: Any) -> str | None:
    """The name of the first array of a tree that holds a NaN or an infinity; None if none does.

    Args:
        tree: of arrays on the host.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(leaf).all():
            return jax.tree_util.keystr(path, simple=True, separator="/")
    return None


def apply_gradients(
    config: TrainingConfig,
    shapes: Params,
    state: TrainState,
    grads: Float[Array, " p"],
    tracker: kl.KLTracker,
) -> TrainState:
    """The state one step on.

    Args:
        config: the `training` section.
        shapes: of the parameters as a tree.
        state: before the step.
        grads: the gradient, raveled.
        tracker: after the step.
    """
    updates, opt_state = optimizer(config, shapes).update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = state.ema + (1.0 - ema_decay(config, state.step)) * (params - state.ema)
    return TrainState(state.step + 1, params, ema, opt_state, tracker)

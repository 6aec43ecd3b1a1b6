"""The training state, which is what a checkpoint holds, and its update by a gradient."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, Key

from ardm.model.build import Model, Params
from ardm.training import kl
from ardm.training.config import TrainingConfig
from ardm.training.optimizer import optimizer


class TrainState(NamedTuple):
    """The complete state after `step` steps. Together with the seed it determines all later steps.

    Parameters, their average and the optimizer's moments are vectors, as `ravel_pytree` makes them:
    hundreds of small arrays would slow down every step, save and start. `Model.unravel` turns a
    vector back into the tree.
    """

    step: Int[Array, ""]
    params: Float[Array, " p"]
    ema: Float[Array, " p"]
    opt_state: Any
    kl: kl.KLTracker


def seed_key(seed: int) -> Key[Array, ""]:
    """The key from which the keys of all random draws of a run are derived."""
    return jax.random.key(seed, impl="threefry2x32")


def init(model: Model, config: TrainingConfig, seed: int) -> TrainState:
    """The state before the first step."""
    # Jitted, because it takes seconds operation by operation.
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


# The program runs once, so optimizing it would waste seconds. The bits are the same.
_jitted_init = jax.jit(
    _init, static_argnums=(0, 1), compiler_options={"xla_backend_optimization_level": 1}
)


def place(state: TrainState) -> TrainState:
    """Commit a state to the first device of this process.

    The results of a step are committed. With an uncommitted state JAX would compile every program
    twice.
    """
    return jax.device_put(state, jax.local_devices()[0])


@cache
def template(model: Model, config: TrainingConfig) -> TrainState:
    """Shapes and dtypes of a state, without computing its values."""
    return jax.eval_shape(partial(_init, model, config), seed_key(0))


def ema_decay(config: TrainingConfig, step: Int[Array, ""]) -> Float[Array, ""]:
    """Decay of the parameter average at a step: `min(ema, (1 + step) / (10 + step))`.

    While the decay is small, the average stays near the parameters, which move fast at first.
    """
    return jnp.minimum(config.ema, (1.0 + step) / (10.0 + step))


def is_finite(tree: Any) -> Bool[Array, ""]:
    """Whether all numbers of a tree of arrays are finite. It can be called inside jitted functions.

    Args:
        tree: tree of arrays of any type; integers count as finite.
    """
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in floats]).all()


def apply_gradients(
    config: TrainingConfig,
    shapes: Params,
    state: TrainState,
    grads: Float[Array, " p"],
    tracker: kl.KLTracker,
) -> TrainState:
    """The state after one more step.

    Args:
        config: the `training` section.
        shapes: shapes of the parameters, as a tree.
        state: the state before the step.
        grads: the gradient, raveled.
        tracker: the KL tracker after the step.
    """
    updates, opt_state = optimizer(config, shapes).update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = state.ema + (1.0 - ema_decay(config, state.step)) * (params - state.ema)
    return TrainState(state.step + 1, params, ema, opt_state, tracker)

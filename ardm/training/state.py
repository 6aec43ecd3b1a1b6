"""The training state: everything that a checkpoint holds, and how a gradient moves it."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

from ardm.model.build import Model, Params
from ardm.training import kl
from ardm.training.config import TrainingConfig


class TrainState(NamedTuple):
    """Complete state after `step` steps; with the seed it determines all that follows."""

    step: Int[Array, ""]
    params: Params
    ema: Params
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
    params = model.init(key)
    return TrainState(
        step=jnp.int32(0),
        params=params,
        ema=params,
        opt_state=optimizer(config).init(params),
        kl=kl.init(model.objective.steps, model.objective.choices),
    )


_jitted_init = jax.jit(_init, static_argnums=(0, 1))


def place(state: TrainState) -> TrainState:
    """Bind a state to this process's device.

    A step's results are bound; a state that is not would have every program compiled twice.
    """
    return jax.device_put(state, jax.local_devices()[0])


@cache
def template(model: Model, config: TrainingConfig) -> TrainState:
    """Shapes and dtypes of a state, without computing one."""
    return jax.eval_shape(partial(_init, model, config), seed_key(0))


def schedule(config: TrainingConfig) -> optax.Schedule:
    """Learning rate as a function of the training step."""
    if config.schedule == "constant":
        after: optax.Schedule = optax.constant_schedule(config.learning_rate)
    else:
        decay = max(config.steps - config.warmup, 1)
        after = optax.cosine_decay_schedule(config.learning_rate, decay)
    warmup = optax.linear_schedule(0.0, config.learning_rate, max(config.warmup, 1))
    return optax.join_schedules([warmup, after], [config.warmup]) if config.warmup else after


def optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Adam behind gradient clipping."""
    clip = optax.identity() if config.clip is None else optax.clip_by_global_norm(config.clip)
    return optax.chain(clip, optax.adam(schedule(config)))


def ema_decay(config: TrainingConfig, step: Int[Array, ""]) -> Float[Array, ""]:
    """Decay of the parameter average at a step: `min(ema, (1 + step) / (10 + step))`.

    The warm-up keeps the average near the parameters while they still move fast.
    """
    return jnp.minimum(config.ema, (1.0 + step) / (10.0 + step))


def unraveler(model: Model) -> Callable[[Float[Array, " p"]], Params]:
    """The function that gives a flat vector the tree of the parameters."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))[1]


def apply_gradients(
    config: TrainingConfig, state: TrainState, grads: Params, tracker: kl.KLTracker
) -> TrainState:
    """The state one step on."""
    updates, opt_state = optimizer(config).update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = ema_decay(config, state.step)
    ema = jax.tree.map(lambda old, new: old + (1.0 - decay) * (new - old), state.ema, params)
    return TrainState(state.step + 1, params, ema, opt_state, tracker)

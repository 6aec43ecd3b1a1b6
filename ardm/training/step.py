"""One training step, the same bits for any number of workers that divides `grad_shards`.

The global batch is cut into `grad_shards` shards of fixed shape. Each shard's gradient comes from
the same micro-step, compiled for one device; the lanes of a worker compute them side by side. The
shards are summed along a fixed binary tree, its lower levels on the worker that computed them, its
upper levels after a gather in the order of the ranks. No program here knows how many workers there
are.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, UInt8

from ardm.model.build import Model
from ardm.training import kl
from ardm.training.config import TrainingConfig
from ardm.training.devices import Devices
from ardm.training.group import Alone, Group
from ardm.training.state import TrainState, apply_gradients, is_finite, seed_key


class Shard(NamedTuple):
    """What one shard of the batch contributes, or a sum of several."""

    grads: Float[Array, " p"]
    """Gradient of the mean loss of the shard, raveled."""
    nelbo_bpd: Float[Array, ""]
    """Mean estimate of the shard."""
    t: Int[Array, " n"]
    nll_per_dim: Float[Array, " n"]


class Metrics(NamedTuple):
    """What one step tells, on the device until somebody looks."""

    nelbo_bpd: Float[Array, ""]
    """Mean over the batch, of the parameters before the step."""
    grad_norm: Float[Array, ""]
    """Before clipping."""
    flags: Int[Array, " workers"]
    """Every worker's flag of this step, the same on all of them."""
    finite: Bool[Array, ""]
    """Whether the loss, the gradient and all of the new state are finite; if not, the step is left
    out."""


class Step:
    """The compiled programs of one step and how they are put together.

    Args:
        model: what is trained.
        config: the `training` section.
        seed: of the run.
        group: the workers; its size must divide `grad_shards`.
        lanes: the most that this worker uses; by default all that it has.
    """

    def __init__(
        self,
        model: Model,
        config: TrainingConfig,
        seed: int,
        group: Group,
        lanes: int | None = None,
    ) -> None:
        self.config, self.group = config, group
        self.shard_size = config.batch_size // config.grad_shards
        mine = config.grad_shards // group.size
        self.shards = range(group.rank * mine, (group.rank + 1) * mine)
        self._lanes = Devices(min(mine, lanes or mine))
        self._key = seed_key(seed)
        self._micro = partial(_micro_step, model, config)
        self._apply = partial(_apply, model, config)

    @property
    def share(self) -> tuple[int, int]:
        """First and one past the last index, in the global batch, of this worker's examples."""
        return self.shards.start * self.shard_size, self.shards.stop * self.shard_size

    def __call__(
        self, state: TrainState, images: UInt8[np.ndarray, "share h w c"], flag: int
    ) -> tuple[TrainState, Metrics]:
        """Take one step.

        Args:
            state: before the step, bound to the first device (`ardm.training.state.place`).
            images: this worker's share of the batch.
            flag: a number to tell all workers, 0 if there is nothing to tell.

        Returns:
            The state after the step and what it tells; neither is waited for. The state is
            finite if the one before was: a step that would make it otherwise only counts.
        """
        return self._take(self.group, state, images, flag)

    def _take(
        self, group: Group, state: TrainState, images: UInt8[np.ndarray, "share h w c"], flag: int
    ) -> tuple[TrainState, Metrics]:
        gathered, flags = group.gather((self._share_of(state, images), jnp.int32(flag)))
        ranks = [jax.tree.map(lambda x, r=rank: x[r], gathered) for rank in range(group.size)]
        state, nelbo_bpd, grad_norm, finite = self._apply(state, self._sum(ranks))
        return state, Metrics(nelbo_bpd, grad_norm, flags, finite)

    def warm_up(self, state: TrainState, images: UInt8[np.ndarray, "share h w c"]) -> None:
        """Have the programs of a step compiled, all but those that need the other workers.

        Args:
            state: of the right shapes; what it holds does not matter.
            images: as for a step.
        """
        if self.group.size == 1:
            jax.block_until_ready(self._take(Alone(), state, images, 0))
            return
        mine = self._share_of(state, images)
        jax.block_until_ready(self._apply(state, self._sum([mine] * self.group.size)))

    def _share_of(self, state: TrainState, images: UInt8[np.ndarray, "share h w c"]) -> Shard:
        """What this worker contributes to a step."""
        copies = self._lanes.spread((state.params, self._key, state.step))
        first = np.asarray(self.shards, np.int32) * self.shard_size
        of_shards = images.reshape(len(first), self.shard_size, *images.shape[1:])
        parts = self._lanes.map(self._micro, copies, list(zip(first, of_shards, strict=True)))
        return self._sum(parts)

    def _sum(self, parts: Sequence[Shard]) -> Shard:
        """Sum neighbours, then neighbouring sums: the order depends on the count alone."""
        while len(parts) > 1:
            parts = [_add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]


@partial(jax.jit, static_argnums=(0, 1))
def _micro_step(
    model: Model,
    config: TrainingConfig,
    flat: Float[Array, " p"],
    key: Array,
    step: Int[Array, ""],
    first: Int[Array, ""],
    images: UInt8[Array, "b h w c"],
) -> Shard:
    index = first + jnp.arange(images.shape[0], dtype=jnp.int32)
    objective = model.objective
    draw = objective.draw(key, step, index, config.batch_size, config.t_sampling)

    def loss(params: Any) -> tuple[Float[Array, ""], Any]:
        train = model.config.net.dropout > 0
        terms = objective.terms(partial(model.predict, params), images, draw, train=train)
        return objective.loss(terms, config.ce_weight).mean(), terms

    grads, terms = jax.grad(loss, has_aux=True)(model.unravel(flat))
    bits = objective.values * np.log(2.0)
    return Shard(ravel_pytree(grads)[0], (terms.nelbo / bits).mean(), draw.t, terms.nll_per_dim)


@jax.jit
def _add(a: Shard, b: Shard) -> Shard:
    return Shard(
        a.grads + b.grads,
        a.nelbo_bpd + b.nelbo_bpd,
        jnp.concatenate([a.t, b.t]),
        jnp.concatenate([a.nll_per_dim, b.nll_per_dim]),
    )


@partial(jax.jit, static_argnums=(0, 1))
def _apply(
    model: Model, config: TrainingConfig, state: TrainState, total: Shard
) -> tuple[TrainState, Float[Array, ""], Float[Array, ""], Bool[Array, ""]]:
    mean = total.grads / config.grad_shards
    tracker = kl.update(state.kl, total.t, total.nll_per_dim)
    norm = jnp.sqrt(jnp.sum(mean * mean))
    after = apply_gradients(config, model.shapes, state, mean, tracker)
    nelbo_bpd = total.nelbo_bpd / config.grad_shards
    # Behind the barrier, so that the compiler fuses, and rounds, what is before it as ever.
    after, nelbo_bpd, norm = jax.lax.optimization_barrier((after, nelbo_bpd, norm))
    finite = is_finite((after, nelbo_bpd, norm))
    kept = jax.tree.map(partial(jnp.where, finite), after, state)
    return kept._replace(step=after.step), nelbo_bpd, norm, finite

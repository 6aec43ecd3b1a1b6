"""One training step. Its bits are the same for any number of workers that divides `grad_shards`.

The global batch is cut into `grad_shards` shards of fixed shape. The same micro-step, compiled for
a single device, computes the gradient of every shard; the devices of a worker compute theirs in
parallel. The shards are summed along a fixed binary tree: its lower levels on the worker that
computed them, its upper levels after a gather in the order of the ranks. No compiled program
depends on the number of workers.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, UInt

from ardm.model.build import Model
from ardm.training import kl
from ardm.training.config import TrainingConfig
from ardm.training.devices import Devices
from ardm.training.group import Alone, Group
from ardm.training.state import TrainState, apply_gradients, is_finite, seed_key


class Shard(NamedTuple):
    """The contribution of one shard of the batch, or the sum of several."""

    grads: Float[Array, " p"]
    """Gradient of the mean loss of the shard, raveled."""
    nelbo_bpd: Float[Array, ""]
    """Mean estimate of the NELBO over the shard, in bits per dimension."""
    t: Int[Array, " n"]
    nll_per_dim: Float[Array, " n"]


class Metrics(NamedTuple):
    """Measurements of one step; they stay on the device until they are read."""

    nelbo_bpd: Float[Array, ""]
    """Mean over the batch, for the parameters before the step."""
    grad_norm: Float[Array, ""]
    """Global norm of the gradient before clipping."""
    flags: Int[Array, " workers"]
    """The flags of all workers at this step, in the order of the ranks."""
    finite: Bool[Array, ""]
    """Whether the loss, the gradient and the whole new state are finite. If not, the step is left
    out."""


class Step:
    """The compiled programs of one step, and the order in which they run.

    Args:
        model: the model that is trained.
        config: the `training` section.
        seed: seed of the run.
        group: the workers; their number must divide `grad_shards`.
        devices: largest number of devices that this worker uses; by default all that it has.
    """

    def __init__(
        self,
        model: Model,
        config: TrainingConfig,
        seed: int,
        group: Group,
        devices: int | None = None,
    ) -> None:
        self.config, self.group = config, group
        self.shard_size = config.batch_size // config.grad_shards
        count = config.grad_shards // group.size
        self.shards = range(group.rank * count, (group.rank + 1) * count)
        self._devices = Devices(min(count, devices or count))
        self._key = seed_key(seed)
        self._micro = partial(_micro_step, model, config)
        self._apply = partial(_apply, model, config)

    @property
    def share(self) -> tuple[int, int]:
        """Examples of this worker in the global batch: their first index, and one past the last."""
        return self.shards.start * self.shard_size, self.shards.stop * self.shard_size

    def __call__(
        self, state: TrainState, images: UInt[np.ndarray, "share h w c"], flag: int
    ) -> tuple[TrainState, Metrics]:
        """Take one step.

        Args:
            state: state before the step, committed to the first device by
                `ardm.training.state.place`.
            images: this worker's share of the batch.
            flag: a number that all workers receive; 0 means nothing.

        Returns:
            The state after the step, and the metrics. The method does not wait for them. If the
            step is not finite, only the counter `step` of the state changes.
        """
        return self._take(self.group, state, images, flag)

    def _take(
        self, group: Group, state: TrainState, images: UInt[np.ndarray, "share h w c"], flag: int
    ) -> tuple[TrainState, Metrics]:
        gathered, flags = group.gather((self._share_of(state, images), jnp.int32(flag)))
        ranks = [jax.tree.map(lambda x, r=rank: x[r], gathered) for rank in range(group.size)]
        state, nelbo_bpd, grad_norm, finite = self._apply(state, self._sum(ranks))
        return state, Metrics(nelbo_bpd, grad_norm, flags, finite)

    def warm_up(self, state: TrainState, images: UInt[np.ndarray, "share h w c"]) -> None:
        """Compile all programs of a step except for those that involve other workers.

        Args:
            state: a state of the right shapes, with any values.
            images: images as for a step.
        """
        if self.group.size == 1:
            jax.block_until_ready(self._take(Alone(), state, images, 0))
            return
        contribution = self._share_of(state, images)
        total = self._sum([contribution] * self.group.size)
        jax.block_until_ready(self._apply(state, total))

    def flops(self, state: TrainState, images: UInt[np.ndarray, "share h w c"]) -> float:
        """Floating-point operations of this worker's gradients in one step.

        XLA counts them before it optimizes. The optimizer and the sums are left out, as is usual.

        Args:
            state: a state of the right shapes, with any values.
            images: images as for a step.
        """
        one = images[: self.shard_size]
        counted = _micro_step.lower(
            *self._micro.args, state.params, self._key, state.step, np.int32(0), one
        ).cost_analysis()
        return len(self.shards) * float(counted["flops"]) if counted else float("nan")

    def _share_of(self, state: TrainState, images: UInt[np.ndarray, "share h w c"]) -> Shard:
        """Compute the contribution of this worker to a step."""
        copies = self._devices.replicate((state.params, self._key, state.step))
        first = np.asarray(self.shards, np.int32) * self.shard_size
        shard_images = images.reshape(len(first), self.shard_size, *images.shape[1:])
        parts = self._devices.map(self._micro, copies, list(zip(first, shard_images, strict=True)))
        return self._sum(parts)

    def _sum(self, parts: Sequence[Shard]) -> Shard:
        """Sum along a binary tree whose shape depends on the number of parts alone."""
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
    images: UInt[Array, "b h w c"],
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
    # Without the barrier the check below would change how the compiler fuses and rounds the step.
    after, nelbo_bpd, norm = jax.lax.optimization_barrier((after, nelbo_bpd, norm))
    finite = is_finite((after, nelbo_bpd, norm))
    kept = jax.tree.map(partial(jnp.where, finite), after, state)
    return kept._replace(step=after.step), nelbo_bpd, norm, finite

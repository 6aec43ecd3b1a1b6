"""The baselines: autoregressive models that compute an exact likelihood in one network call."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Integer, Key

from ardm.model import draws
from ardm.model.objective import Draw, Predict, Terms
from ardm.model.order_agnostic import OrderAgnostic


class Permuted(OrderAgnostic):
    """Generation in any order by a causal network over the shuffled dimensions.

    Each position knows its own place and the place that it predicts (XLNet, arXiv 1906.08237;
    sigma-GPT, arXiv 2404.09562). One network call gives the likelihood under one order.
    """

    @property
    def several_per_call(self) -> bool:
        return False

    @property
    def exact_starts(self) -> Int[np.ndarray, " calls"]:
        return np.zeros(1, np.int32)

    def seen(
        self, sigma: Int[Array, "b h w m"], t: Int[Array, " b"]
    ) -> Bool[Array, "b h w m"] | Int[Array, "b h w m"]:
        """The network receives the whole order; its causal mask hides later dimensions."""
        return sigma

    def terms(
        self, predict: Predict, x: Integer[Array, "b h w c"], draw: Draw, *, train: bool = False
    ) -> Terms:
        """The exact likelihood of every example under its order, and the term of its step t."""
        seen = self.seen(draw.sigma, draw.t)
        parameters = predict(x, seen, draw.t, *([draw.keys] if train else []))
        log_prob = self.output.log_prob(parameters, x)
        at_step = draws.revealed(draw.sigma, draw.t, jnp.int32(1))
        ll = log_prob.sum(axis=(1, 2, 3))
        nll_per_dim = -jnp.where(at_step, log_prob, 0.0).sum(axis=(1, 2, 3))
        return Terms(ll, nll_per_dim, -ll)


class Autoregressive(Permuted):
    """Generation in the natural order: row by row, or along a text."""

    @property
    def natural_order(self) -> bool:
        return True

    def orders(self, keys: Key[Array, " b"]) -> Int[Array, "b h w m"]:
        natural = jnp.arange(self.D, dtype=jnp.int32).reshape(self.shape)
        return jnp.broadcast_to(natural, (len(keys), *self.shape))

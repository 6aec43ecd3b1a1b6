"""What ardm is measured against: the student network, written plainly.

The students whose run ardm grew out of trained with code like this: one jitted step over the whole
batch on one device, an array of attention weights between all pixels, log-probabilities of all
classes times one-hot targets, and a sampler that is one scan over the generation steps. The
parameters are those of our network, so both can be compared number by number (`tests/
test_benchmarks.py`). It knows the network of `jobs/binmnist-student.yaml` and no other.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Integer, Key

Params = Any

BLOCKS, WIDTH, GROUPS, SIDE, CLASSES = 3, 32, 32, 28, 2
D = SIDE * SIDE


def network(
    params: Params,
    x: Integer[Array, "b 28 28 1"],
    mask: Bool[Array, "b 28 28 1"],
    t: Int[Array, " b"],
) -> Float[Array, "b 28 28 2"]:
    """Logits of both classes of every pixel."""
    half = WIDTH // 2
    frequencies = 10_000.0 ** (-jnp.arange(half) / (half - 1))
    angles = t[:, None] * (1000.0 / D) * frequencies
    time = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)
    time = _dense(params["time"]["dense0"], time)
    time = _dense(params["time"]["dense1"], jax.nn.swish(time))

    embed, visible = params["embed"], mask.astype(jnp.float32)
    values = (2.0 * x - 1.0) * visible
    classes = jax.nn.one_hot(x[..., 0], CLASSES) * visible @ embed["table"]["embedding"]
    h = jnp.concatenate(
        [
            _conv(embed["conv"], jnp.concatenate([values, visible], axis=-1)),
            _dense(embed["project"], classes),
        ],
        axis=-1,
    )
    skips = [h]
    for block in range(BLOCKS):
        h = _block(params["down"][f"stage_0_{block}"]["block"], h, time)
        skips.append(h)
    h = _block(params["middle_0"]["block"], h, time)
    h = _attention(params["middle_0"]["attention"], h)
    h = _block(params["middle_1"]["block"], h, time)
    for block in range(BLOCKS + 1):
        h = jnp.concatenate([h, skips.pop()], axis=-1)
        h = _block(params["up"][f"stage_0_{block}"]["block"], h, time)
    return _conv(params["out"], jax.nn.swish(_norm(params["norm"], h)))


def loss(
    params: Params,
    x: Integer[Array, "b 28 28 1"],
    sigma: Int[Array, "b 28 28 1"],
    t: Int[Array, " b"],
    ce_weight: float,
) -> Float[Array, ""]:
    """Mean training loss of a batch, in bits per dimension."""
    mask = sigma < t[:, None, None, None]
    log_probs = jax.nn.log_softmax(network(params, x, mask, t))
    hidden = 1.0 - mask.astype(jnp.float32)
    ll = (log_probs * jax.nn.one_hot(x[..., 0], CLASSES) * hidden).sum(axis=(1, 2, 3))
    return (-(D / (D - t) + ce_weight) * ll).mean() / (D * np.log(2.0))


@partial(jax.jit, static_argnames=("rate", "decay", "ce_weight"))
def step(
    state: tuple[Params, Any, Params],
    key: Key[Array, ""],
    x: Integer[Array, "b 28 28 1"],
    *,
    rate: float,
    decay: float,
    ce_weight: float,
) -> tuple[Params, Any, Params]:
    """One step of Adam with clipping; the state is parameters, moments and average."""
    params, moments, average = state
    for_orders, for_t = jax.random.split(key)
    keys = jax.random.split(for_orders, len(x))
    sigma = jax.vmap(lambda key: jax.random.permutation(key, D))(keys).reshape(x.shape)
    t = jax.random.randint(for_t, (len(x),), 0, D)
    gradient = jax.grad(loss)(params, x, sigma, t, ce_weight)
    updates, moments = optimizer(rate).update(gradient, moments)
    params = optax.apply_updates(params, updates)
    average = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, average, params)
    return params, moments, average


def optimizer(rate: float) -> optax.GradientTransformation:
    """Adam after clipping."""
    return optax.chain(optax.clip_by_global_norm(100.0), optax.adam(rate))


@jax.jit
def sample(
    params: Params, key: Key[Array, ""], sigma: Int[Array, "b 28 28 1"], steps: Int[Array, " calls"]
) -> Array:
    """Draw images in the given orders, one pixel per network call.

    Args:
        params: parameters of the network.
        key: key of the draws.
        sigma: the orders.
        steps: generation steps, 0 .. 783; a benchmark takes fewer.
    """

    def reveal(x: Array, t: Int[Array, ""]) -> tuple[Array, None]:
        times = jnp.full(len(x), t)
        logits = network(params, x, sigma < t, times)
        drawn = jax.random.categorical(jax.random.fold_in(key, t), logits)[..., None]
        return jnp.where(sigma == t, drawn, x), None

    return jax.lax.scan(reveal, jnp.zeros(sigma.shape, jnp.int32), steps)[0]


def _dense(params: Params, x: Array) -> Array:
    return x @ params["kernel"] + params["bias"]


def _conv(params: Params, x: Array) -> Array:
    convolved = jax.lax.conv_general_dilated(
        x, params["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return convolved + params["bias"]


def _norm(params: Params, x: Array) -> Array:
    b, h, w, c = x.shape
    grouped = x.reshape(b, h, w, GROUPS, c // GROUPS)
    mean = grouped.mean(axis=(1, 2, 4), keepdims=True)
    variance = grouped.var(axis=(1, 2, 4), keepdims=True)
    normal = ((grouped - mean) * jax.lax.rsqrt(variance + 1e-6)).reshape(x.shape)
    return normal * params["scale"] + params["bias"]


def _block(params: Params, x: Array, time: Array) -> Array:
    h = _conv(params["conv1"], jax.nn.swish(_norm(params["norm1"], x)))
    h = h + _dense(params["time"], jax.nn.swish(time))[:, None, None, :]
    h = _conv(params["conv2"], jax.nn.swish(_norm(params["norm2"], h)))
    return h + (_dense(params["shortcut"], x) if "shortcut" in params else x)


def _attention(params: Params, x: Array) -> Array:
    b, h, w, c = x.shape
    tokens = _norm(params["norm"], x).reshape(b, h * w, c)
    query, key, value = (_dense(params[name], tokens) for name in ("query", "key", "value"))
    weights = jax.nn.softmax(jnp.einsum("bqc,bkc->bqk", query, key) / np.sqrt(c))
    attended = jnp.einsum("bqk,bkc->bqc", weights, value)
    return x + _dense(params["out"], attended).reshape(x.shape)

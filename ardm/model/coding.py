"""Lossless coding: the walk through the dimensions of examples, in the order of generation.

An encoder and a decoder take the same walk (section 5 of arXiv 2110.02037). At each network call
they know the dimensions of the calls before it, so they compute equal distributions for those of
this one. An entropy coder then writes the values, or reads them.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer, UInt
from numpy import ndarray

from ardm.model import draws, policy
from ardm.model.objective import Objective

LANES = 2
"""Number of batches that take the walk side by side, each on a device if there are so many. The
order of the values in the stream depends on it, so it is a part of the format."""

_MOST_COUNTS = 2**22
"""Largest number of counts that are computed and copied together."""

Code = Callable[[Int[ndarray, "n k"], Int[ndarray, " n"] | None], Int[ndarray, " n"]]
"""`code(counts, values)` writes values 0 .. K-1 whose probabilities are the counts divided by their
sum, and returns them. A decoder gets no values, and returns those that it reads."""


def total(classes: int) -> int:
    """The sum of the counts of K classes.

    A count of 1 is the least. With more classes the sum is larger, so that those of rare classes
    take little away from the others.
    """
    return 2**16 if classes <= 16 else 2**24


def counts(log_p: Float[Array, "b n k"]) -> Int[Array, "b n k"]:
    """Turn log-probabilities into positive integers with the sum `total(K)`.

    The likeliest class gets what rounding leaves over.
    """
    classes = log_p.shape[-1]
    p = jax.nn.softmax(log_p, axis=-1)
    rounded = 1 + jnp.floor(p * (total(classes) - classes)).astype(jnp.int32)
    rest = total(classes) - rounded.sum(axis=-1, keepdims=True)
    is_best = jnp.arange(classes) == jnp.argmax(p, axis=-1, keepdims=True)
    return rounded + jnp.where(is_best, rest, 0)


class Examples(NamedTuple):
    """What is coded.

    Attributes:
        sigma: the order of each example at each stage.
        wanted: true where a dimension is coded; the others stay hidden, and have the value 0.
        values: values 0 .. K-1; None for a decoder.
    """

    sigma: Int[ndarray, "num stages h w m"]
    wanted: Bool[ndarray, "num h w m"]
    values: UInt[ndarray, "num h w c"] | None


def transcode(
    predict: jax.tree_util.Partial,
    code: Code,
    examples: Examples,
    starts: Integer[ndarray, " budget"],
    *,
    objective: Objective,
    batch: int,
    called: Callable[[], None] = lambda: None,
) -> UInt[ndarray, "num h w c"]:
    """Walk through all dimensions of examples, and write or read their values.

    Args:
        predict: the network with its parameters.
        code: writes or reads values.
        examples: the examples, with their values to write, without to read.
        starts: start times of the network calls, ascending; every stage begins with one.
        objective: objective of the model.
        batch: examples per network call. The order of the values in the stream depends on it.
        called: called after each network call of all lanes.

    Returns:
        The values.
    """
    if not len(examples.sigma):
        return np.zeros((0, *objective.image_shape), objective.value_type)
    devices = jax.local_devices()[:LANES]
    copies = [jax.device_put(predict, device) for device in devices]
    walk = partial(_walk, objective, starts, batch)
    results = []
    with ThreadPoolExecutor(LANES, thread_name_prefix="ardm-coding") as threads:
        for begin in range(0, len(examples.sigma), LANES * batch):
            firsts = range(begin, min(begin + LANES * batch, len(examples.sigma)), batch)
            lanes = [
                walk(copies[lane % len(copies)], devices[lane % len(copies)], part)
                for lane, part in enumerate(_part(examples, first, batch) for first in firsts)
            ]
            results += _advance(lanes, code, threads, called)
    return np.concatenate(results)[: len(examples.sigma)]


def canary(
    predict: jax.tree_util.Partial, objective: Objective, batch: int
) -> Int[ndarray, "calls b n k"]:
    """The counts of a fixed batch at a few steps, which show whether two machines agree.

    Args:
        predict: the network with its parameters.
        objective: objective of the model.
        batch: examples per network call.
    """
    random = np.random.Generator(np.random.PCG64(0))
    size = min(objective.D, 64, _at_once(objective, batch))
    ranks = random.random((batch, objective.D)).argsort(axis=1).astype(np.int32)
    sigma = jnp.asarray(ranks.reshape(batch, *objective.shape))
    values = random.integers(0, objective.output.classes, (batch, *objective.image_shape))
    x = jnp.asarray(values.astype(objective.value_type))
    found = []
    for t in np.unique([0, objective.steps // 3, objective.steps - size]):
        left, first = np.int32(t), np.int32(t % objective.D)
        parameters = _predict(predict, objective, x, sigma, left)
        order = jnp.argsort(sigma.reshape(batch, -1), axis=1)
        found.append(np.asarray(_counts(objective, size, parameters, x, order, first, 0)))
    return np.stack(found)


class _Request(NamedTuple):
    counts: Int[ndarray, "n k"]
    values: Int[ndarray, " n"] | None


_Lane = Generator[_Request, Int[ndarray, " n"] | None, UInt[ndarray, "b h w c"]]


def _advance(
    lanes: Sequence[_Lane], code: Code, threads: ThreadPoolExecutor, called: Callable[[], None]
) -> list[UInt[ndarray, "b h w c"]]:
    """Let lanes compute side by side, and code what they ask for in their order."""
    answers: dict[int, Int[ndarray, " n"] | None] = dict.fromkeys(range(len(lanes)))
    ended: dict[int, UInt[ndarray, "b h w c"]] = {}

    def step(number: int) -> _Request | None:
        try:
            return lanes[number].send(answers[number])
        except StopIteration as end:
            ended[number] = end.value
            return None

    while len(ended) < len(lanes):
        active = [number for number in answers if number not in ended]
        for number, request in zip(active, list(threads.map(step, active)), strict=True):
            if request is not None:
                answers[number] = code(*request)
        called()
    return [ended[number] for number in range(len(lanes))]


def _walk(
    objective: Objective,
    starts: Integer[ndarray, " budget"],
    batch: int,
    predict: jax.tree_util.Partial,
    device: jax.Device,
    examples: Examples,
) -> _Lane:
    """Walk through the dimensions of one batch; it yields counts and is sent the values."""
    D, parts = objective.D, objective.channels_per_entry
    segments = policy.segments(starts, D, end=objective.steps)
    longest = max(int(right - left) for left, right in segments)
    size = min(longest, _at_once(objective, batch))
    wanted = examples.wanted.reshape(batch, D)
    ends = wanted.sum(axis=1)
    # Arrays that are committed to the device select it; generators may change threads.
    put = partial(jax.device_put, device=device)
    x = put(np.zeros((batch, *objective.image_shape), objective.value_type))
    none, keep = np.zeros(objective.shape, bool), put(examples.wanted)
    stage = -1
    for left, right in segments:
        if left // D != stage:
            stage = int(left // D)
            sigma = draws.known_first(put(examples.sigma[:, stage]), none, keep)
            order = jnp.argsort(sigma.reshape(batch, D), axis=1)
            dims = np.asarray(order)
            target = _target(objective, examples.values, stage)
        within, end = int(left - stage * D), int(right - stage * D)
        last = np.minimum(end, ends).astype(np.int32)
        if (last <= within).all():
            continue
        parameters = _predict(predict, objective, x, sigma, left)
        drawn = np.zeros((batch, D, parts), objective.value_type)
        for first in range(within, end, size):
            steps = np.arange(first, min(first + size, D))
            rows, columns = np.nonzero(steps < last[:, None])
            at = dims[rows, steps[columns]]
            for part in range(parts):
                given = drawn.reshape(x.shape)
                found = _counts(objective, size, parameters, given, order, np.int32(first), part)
                values = None if target is None else target[rows, at, part]
                drawn[rows, at, part] = yield _Request(np.asarray(found)[rows, columns], values)
        x = _write(objective, x, drawn.reshape(x.shape), sigma, left, last)
    return np.asarray(x)


def _at_once(objective: Objective, batch: int) -> int:
    """The number of steps whose counts are computed together."""
    return max(1, _MOST_COUNTS // (batch * objective.output.classes))


def _target(
    objective: Objective, values: UInt[ndarray, "b h w c"] | None, stage: int
) -> Int[ndarray, "b d parts"] | None:
    if values is None:
        return None
    found = np.asarray(objective.target(jnp.asarray(values), stage), np.int32)
    return found.reshape(len(found), objective.D, objective.channels_per_entry)


@jax.jit(static_argnames=("objective",))
def _predict(
    predict: jax.tree_util.Partial,
    objective: Objective,
    x: UInt[Array, "b h w c"],
    sigma: Int[Array, "b h w m"],
    left: Integer[Array, ""],
) -> Float[Array, "b h w ..."]:
    t = jnp.full(x.shape[:1], left, jnp.int32)
    _, within = objective.split(t)
    return predict(x, objective.seen(sigma, within), t)


@jax.jit(static_argnames=("objective", "size", "part"))
def _counts(
    objective: Objective,
    size: int,
    parameters: Float[Array, "b h w ..."],
    x: UInt[Array, "b h w c"],
    order: Int[Array, "b d"],
    first: Integer[Array, ""],
    part: int,
) -> Int[Array, "b n k"]:
    """Counts of the dimensions at the steps first .. first + size - 1; the last may not exist."""
    padded = jnp.pad(order, ((0, 0), (0, size)))
    dims = jax.lax.dynamic_slice_in_dim(padded, first, size, axis=1)
    return counts(objective.output.class_log_prob(parameters, x, dims, part))


@jax.jit(static_argnames=("objective",))
def _write(
    objective: Objective,
    x: UInt[Array, "b h w c"],
    drawn: Integer[Array, "b h w c"],
    sigma: Int[Array, "b h w m"],
    left: Integer[Array, ""],
    last: Integer[Array, " b"],
) -> UInt[Array, "b h w c"]:
    stage, within = left // objective.D, left % objective.D
    segment = (sigma >= within) & (sigma < last[:, None, None, None])
    written = objective.written(x, drawn, stage).astype(x.dtype)
    return jnp.where(segment, written, x)


def _part(examples: Examples, first: int, batch: int) -> Examples:
    """A batch of examples; the last one is filled up with examples of which nothing is wanted."""
    index = np.arange(first, first + batch) % len(examples.sigma)
    wanted = examples.wanted[index]
    wanted[max(len(examples.sigma) - first, 0) :] = False
    values = None if examples.values is None else examples.values[index]
    return Examples(examples.sigma[index], wanted, values)

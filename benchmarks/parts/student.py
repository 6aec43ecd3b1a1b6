"""The student network: ardm beside the plain code of `reference.py`, in alternating rounds."""

from collections.abc import Callable, Iterator

import numpy as np

from parts import reference
from parts.figures import Figure, figure, seconds

DIGITS, CALLS, ROUNDS, STEPS = 16, 40, 4, 2


def figures() -> Iterator[Figure]:
    """Measure the step on one device and on all, and a network call of the sampler."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    from ardm.data.config import describe
    from ardm.job.spec import load
    from ardm.model import policy
    from ardm.model.build import build
    from ardm.model.sampling import sample
    from ardm.training.devices import cores_here, keep_freed_memory, use_cores
    from ardm.training.group import Alone
    from ardm.training.state import init, place
    from ardm.training.step import Step

    use_cores(cores_here())
    keep_freed_memory()
    spec = load("jobs/binmnist-student.yaml")
    config, model = spec.training, build(spec.model, *describe(spec.data))
    random = np.random.default_rng(0)
    images = random.integers(0, 2, (config.batch_size, *model.shape), dtype=np.uint8)
    begin = place(init(model, config, spec.seed))
    params = model.unravel(begin.params)
    key = jax.random.key(0)

    def ours(devices: int) -> Callable[[], object]:
        step, state = Step(model, config, spec.seed, Alone(), devices), begin

        def go() -> object:
            nonlocal state
            for _ in range(STEPS):
                state, _ = step(state, images, 0)
            return state

        return go

    def theirs(devices: int) -> Callable[[], object]:
        mesh = Mesh(np.array(jax.devices()[:devices]), ("batch",))
        everywhere = NamedSharding(mesh, PartitionSpec())
        moments = reference.optimizer(config.learning_rate).init(params)
        state = jax.device_put((params, moments, params), everywhere)
        batch = jax.device_put(images.astype(np.int32), NamedSharding(mesh, PartitionSpec("batch")))
        shared_key = jax.device_put(key, everywhere)

        def go() -> object:
            nonlocal state
            for number in range(STEPS):
                state = reference.step(
                    state,
                    jax.random.fold_in(shared_key, number),
                    batch,
                    rate=config.learning_rate,
                    decay=config.ema,
                    ce_weight=config.ce_weight,
                )
            return state

        return go

    examples = STEPS * config.batch_size
    for devices in dict.fromkeys((1, len(jax.devices()))):
        what = f"student: training, {devices} device{'s' if devices > 1 else ''}"
        pairs = _pairs(ours(devices), theirs(devices))
        yield figure(what, "examples/s", [examples / one for one, _ in pairs])
        yield figure(f"{what}, reference", "examples/s", [examples / other for _, other in pairs])
        yield figure(f"{what}: ours", "times reference", [other / one for one, other in pairs])

    keys = jax.random.split(key, DIGITS)
    orders = jax.vmap(lambda key: jax.random.permutation(key, model.D))(keys)
    sigma, predict = orders.reshape(DIGITS, *model.shape), model.bind(params)
    starts = policy.uniform(model.D, CALLS)
    pairs = _pairs(
        lambda: sample(predict, key, DIGITS, starts, objective=model.objective),
        lambda: reference.sample(params, key, sigma, jnp.asarray(starts)),
    )
    what = f"student: network call for {DIGITS} digits"
    yield figure(what, "ms", [1e3 * one / CALLS for one, _ in pairs])
    yield figure(f"{what}, reference", "ms", [1e3 * other / CALLS for _, other in pairs])
    yield figure(f"{what}: ours", "times as fast", [other / one for one, other in pairs])


def _pairs(one: Callable[[], object], other: Callable[[], object]) -> list[tuple[float, float]]:
    """Seconds of two actions, in rounds that alternate; the first calls compile."""
    one(), other()
    return [(seconds(one), seconds(other)) for _ in range(ROUNDS)]

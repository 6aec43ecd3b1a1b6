"""Sampling and evaluation, with a network of `jobs/binmnist.yaml` that is not trained."""

from collections.abc import Iterator

import numpy as np

from parts.figures import Figure, figure, seconds

DIGITS, BUDGET, IMAGES, ROUNDS = 16, 50, 512, 3


def figures() -> Iterator[Figure]:
    """Measure sampling with few calls and one pixel at a time, and evaluation."""
    import jax

    from ardm.data import dataset
    from ardm.data.config import describe
    from ardm.job.spec import load
    from ardm.model import policy
    from ardm.model.build import build
    from ardm.model.sampling import sample
    from ardm.training.devices import cores_here, use_cores
    from ardm.training.evaluate import Evaluator
    from ardm.training.state import init

    use_cores(cores_here())
    spec = load("jobs/binmnist.yaml")
    model = build(spec.model, *describe(spec.data))
    params = model.unravel(init(model, spec.training, spec.seed).params)
    predict, key = model.bind(params), jax.random.key(0)

    def draw(calls: int) -> float:
        starts = policy.uniform(model.D, calls)
        return seconds(lambda: sample(predict, key, DIGITS, starts, objective=model.objective))

    first = draw(BUDGET)
    few = [draw(BUDGET) for _ in range(ROUNDS)]
    yield figure(f"sample {DIGITS} digits, {BUDGET} calls, first time", "s", [first], "compiling")
    yield figure(f"sample {DIGITS} digits, {BUDGET} calls", "s", few)
    yield figure(f"sample {DIGITS} digits, {model.D} calls", "s", [draw(model.D)])

    images = np.asarray(dataset.load(spec.data).valid[:IMAGES])
    evaluator = Evaluator(model, seed=0)

    def rate() -> float:
        return IMAGES / seconds(lambda: evaluator.per_image(params, images))

    rate()
    yield figure("evaluate", "images/s", [rate() for _ in range(ROUNDS)])

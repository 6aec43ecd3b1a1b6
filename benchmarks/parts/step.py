"""The training step: examples per second, and its share of what the machine can do."""

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from parts.figures import Figure, Peak, figure, seconds

JOBS = ("binmnist", "binmnist-student", "text", "digits-audio")
ROUNDS, STEPS = 5, 5


def measure(job: str) -> Iterator[Figure]:
    """Measure the step of a job, in rounds that alternate with the peak of the machine."""
    from ardm.data.config import describe
    from ardm.job.spec import load
    from ardm.model.build import build
    from ardm.training.devices import cores_here, keep_freed_memory, use_cores
    from ardm.training.group import Alone
    from ardm.training.state import init, place
    from ardm.training.step import Step

    use_cores(cores_here())
    spec = load(f"jobs/{job}.yaml")
    model = build(spec.model, *describe(spec.data))
    step = Step(model, spec.training, spec.seed, Alone())
    state = place(init(model, spec.training, spec.seed))
    size = spec.training.batch_size
    random = np.random.default_rng(0)
    images = random.integers(
        0, model.classes, (size, *model.shape), dtype=model.objective.value_type
    )
    operations, peak = step.flops(state, images), Peak()
    step.warm_up(state, images)
    keep_freed_memory()
    rates, products, convolutions = list[float](), list[float](), list[float]()

    def steps() -> object:
        nonlocal state
        for _ in range(STEPS):
            state, _ = step(state, images, 0)
        return state

    steps()
    for _ in range(ROUNDS):
        products.append(peak.gflops("product"))
        convolutions.append(peak.gflops("convolution"))
        rates.append(STEPS / seconds(steps))
    own = [1e-9 * operations * rate for rate in rates]
    shares = [100.0 * a / b for a, b in zip(own, products, strict=True)]
    others = [100.0 * a / b for a, b in zip(own, convolutions, strict=True)]
    yield figure(f"{job}: training", "examples/s", [size * rate for rate in rates])
    yield figure(f"{job}: training", "GFLOP/s", own)
    yield figure(f"{job}: share", "% of product", shares, f"{np.median(products):.0f} GFLOP/s")
    yield figure(
        f"{job}: share", "% of convolution", others, f"{np.median(convolutions):.0f} GFLOP/s"
    )


def figures() -> Iterator[Figure]:
    """Measure all jobs whose data are on this machine, each in a process of its own."""
    import json

    for job in JOBS:
        command = [sys.executable, sys.argv[0], "--step-of", job]
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
        if done.returncode:
            print(f"{job} is left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        yield from (Figure(*one) for one in json.loads(done.stdout))

"""The training step with and without keeping freed memory, in pairs."""

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

import numpy as np

from parts.figures import Figure, figure, seconds

PAIRS, STEPS, JOB = 3, 15, "jobs/binmnist.yaml"


def step_ms(*, keep: bool) -> float:
    """Median time of a step in this process (milliseconds)."""
    from ardm.data.config import describe
    from ardm.job.spec import load
    from ardm.model.build import build
    from ardm.training.devices import keep_freed_memory
    from ardm.training.group import Alone
    from ardm.training.state import init, place
    from ardm.training.step import Step

    if keep:
        keep_freed_memory()
    spec = load(JOB)
    model = build(spec.model, *describe(spec.data))
    step = Step(model, spec.training, spec.seed, Alone())
    state = place(init(model, spec.training, spec.seed))
    images = np.zeros((spec.training.batch_size, *model.shape), np.uint8)
    times = []
    for _ in range(STEPS):

        def one() -> object:
            nonlocal state
            state, _ = step(state, images, 0)
            return state

        times.append(seconds(one))
    return 1e3 * median(times[1:])


def figures() -> Iterator[Figure]:
    """Measure pairs, each time in a process of its own."""
    ratios = []
    for _ in range(PAIRS):
        times = {}
        for option in ("kept", "returned"):
            command = [sys.executable, sys.argv[0], "--allocator", option]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            times[option] = float(done.stdout)
        ratios.append(times["returned"] / times["kept"])
    yield figure("binmnist: step if freed memory is returned", "times as long", ratios)

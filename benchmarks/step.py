"""Time of a training step per image, with and without keeping freed memory, in pairs.

    .venv/bin/python benchmarks/step.py [jobs/binmnist.yaml]

Each time is from a separate process. Machines are noisy, so compare the ratios.
"""

import statistics
import subprocess
import sys
import time

PAIRS, STEPS = 3, 15


def measure(job: str, keep: bool) -> float:
    """Measure in this process the median time of a step, in milliseconds per image."""
    import jax
    import numpy as np

    from ardm.data.config import describe
    from ardm.job.spec import load
    from ardm.model.build import build
    from ardm.training.devices import keep_freed_memory
    from ardm.training.group import Alone
    from ardm.training.state import init, place
    from ardm.training.step import Step

    if keep:
        keep_freed_memory()
    spec = load(job)
    shape, classes = describe(spec.data)
    model = build(spec.model, shape, classes)
    step = Step(model, spec.training, spec.seed, Alone())
    state = place(init(model, spec.training, spec.seed))
    images = np.zeros((spec.training.batch_size, *shape), np.uint8)
    seconds = []
    for _ in range(STEPS):
        begin = time.perf_counter()
        state, _ = step(state, images, 0)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(seconds[1:]) / spec.training.batch_size


def main() -> None:
    """Print each pair and the median ratio."""
    job = sys.argv[1] if len(sys.argv) > 1 else "jobs/binmnist.yaml"
    ratios = []
    for pair in range(PAIRS):
        times = []
        for keep in ("kept", "returned"):
            command = [sys.executable, __file__, job, keep]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            times.append(float(done.stdout))
        ratios.append(times[1] / times[0])
        print(f"pair {pair}: {times[0]:.2f} ms/image kept, {times[1]:.2f} returned")
    print(f"median ratio returned/kept: {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(measure(sys.argv[1], sys.argv[2] == "kept"))
    else:
        main()

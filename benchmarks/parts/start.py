"""From the command `ardm train` to the first step, and the most memory that its process takes."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from parts.figures import Figure, figure

JOBS, ROUNDS = ("smoke", "binmnist"), 3

CHANGES = ("training.steps=2", "training.warmup=1", "evaluation.samples=0", "evaluation.images=1")


def figures() -> Iterator[Figure]:
    """Measure a start without compiled programs, and starts that find those of the first one."""
    for job in JOBS:
        with tempfile.TemporaryDirectory(prefix="ardm-bench-") as folder:
            (cold, cold_peak), *warm = [_start(job, folder, n) for n in range(ROUNDS + 1)]
        yield figure(f"{job}: start to first step, nothing compiled", "s", [cold])
        yield figure(f"{job}: start to first step", "s", [taken for taken, _ in warm])
        yield figure(f"{job}: most memory, nothing compiled", "GB", [cold_peak])
        yield figure(f"{job}: most memory", "GB", [peak for _, peak in warm])


def _start(job: str, store: str, number: int) -> tuple[float, float]:
    """Train two steps; seconds from the command to the first step, and the peak (GB)."""
    from ardm.events import event_log, kinds
    from ardm.store.run_directory import Run
    from ardm.store.store import Store

    sets = [
        part
        for change in (*CHANGES, "evaluation.final_images=1", "evaluation.first=null")
        for part in ("--set", change)
    ]
    ardm, run = str(Path(sys.executable).with_name("ardm")), f"start-{number}"
    # Only what this benchmark compiled is found.
    environment = os.environ | {"ARDM_HOME": str(Path(store) / "home")}
    begin = time.time()
    process = subprocess.Popen(
        [ardm, "train", f"jobs/{job}.yaml", "--store", store, "--run", run, "--no-progress", *sets],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise RuntimeError(f"`ardm train jobs/{job}.yaml` ended with {code}")
    first = kinds.last(event_log.read(Run(Store(store), run), 1), kinds.FirstStep)
    assert first
    return first.time - begin, 1e-9 * 1024 * usage.ru_maxrss

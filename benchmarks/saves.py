"""Throughput of training that saves every 30 s, relative to training that does not save.

    .venv/bin/python benchmarks/saves.py [jobs/binmnist.yaml]

One process trains in blocks of 30 s: without a save, with a save in the background as ardm does it,
and with a save that training waits for. Each block is compared with the block of its round that has
no save.
"""

import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROUNDS, BLOCK = 8, 30.0
"""Number of rounds, each with one block of each kind; and seconds of a block without a save."""

KINDS = ("none", "beside", "waited for")


def main() -> None:
    """Print the times of each round, and the medians and ranges of the throughput."""
    from ardm.checkpoint.checkpointer import Checkpointer
    from ardm.events.event_log import EventLog
    from ardm.job.spec import load
    from ardm.runner import prepare
    from ardm.runner.compilation import share_cache
    from ardm.store import claims, registry
    from ardm.store.retry import Deadline
    from ardm.store.run_directory import Run
    from ardm.store.store import Store
    from ardm.training.devices import cores_here, keep_freed_memory, use_cores
    from ardm.training.group import Alone
    from ardm.training.loop import train
    from ardm.training.state import init, place

    use_cores(cores_here())
    keep_freed_memory()
    job = Path(sys.argv[1] if len(sys.argv) > 1 else "jobs/binmnist.yaml")
    spec = load(job, ["training.steps=10000000", "checkpoint.interval=0"])
    with tempfile.TemporaryDirectory(prefix="ardm-saves-") as folder:
        run = Run(Store(folder), "saves")
        share_cache(run.store)
        registry.open_run(run, spec, datetime.now(UTC))
        number = claims.claim(run, {})
        saver = Checkpointer(run, number, spec.checkpoint, EventLog(run, number), 0)
        work = prepare.work(spec, *prepare.load(run, spec, timeout_s=60.0), Alone())
        steps = train(work, place(init(work.model, work.config, spec.seed)), lambda: 0)

        def block(kind: str, length: int) -> float:
            """Train `length` steps with a save after the first; returns the seconds."""
            begin = time.perf_counter()
            for left in reversed(range(length)):
                done = next(steps)
                if left == length - 1 and kind == "beside":
                    saver.offer(done.step, done.state)
                elif left == length - 1 and kind == "waited for":
                    saver.finish(done.step, done.state, Deadline(60.0))
            seconds = time.perf_counter() - begin
            saver.wait(60.0)
            return seconds

        block("none", 3)
        length = round(BLOCK / (block("none", 20) / 20))
        throughput: dict[str, list[float]] = {kind: [] for kind in KINDS[1:]}
        for number in range(ROUNDS):
            times = {kind: block(kind, length) for kind in KINDS}
            print(f"round {number}: " + ", ".join(f"{k} {s:.2f} s" for k, s in times.items()))
            for kind, percents in throughput.items():
                percents.append(100.0 * times["none"] / times[kind])
    print(f"{os.cpu_count()} CPUs, {length} steps a block; throughput against no saves, percent")
    for kind, percents in throughput.items():
        median = statistics.median(percents)
        print(f"  a save {kind:11s} {median:.1f} ({min(percents):.1f} - {max(percents):.1f})")


if __name__ == "__main__":
    main()

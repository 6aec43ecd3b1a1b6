"""Times of `status`, `stop` and a restart for runs with a long history.

    .venv/bin/python benchmarks/history.py [--answer 0.04]

Two runs are in a bucket of an emulated GCS server on this machine: one with 1,000 attempts, and one
with a single attempt of 30 days that saves every 30 s. A proxy delays every answer of the server.
Each measurement uses a new store object, which has read nothing before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ardm.store.run_directory import Run

ROUNDS = 5
NO_RAY = {"address": None, "submission_id": None, "status": None}


def main() -> None:
    """Print the median, the shortest and the longest time of each operation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--answer", type=float, default=0.04, help="delay of an answer in seconds")
    args = parser.parse_args()
    from ardm.chaos import emulator, long_past

    with emulator.serve(emulator.free_port()) as address:
        os.environ |= emulator.settings(address)
        emulator.make_bucket(address, "history")
        histories = {
            "1,000 attempts": lambda run: long_past.many_attempts(run, 1000),
            "one attempt of 30 days": lambda run: long_past.one_attempt(run, 30.0, step_s=10.0),
        }
        for number, write in enumerate(histories.values()):
            write(_new_run(f"run-{number}"))
        with _slow(address, args.answer) as slow:
            os.environ["STORAGE_EMULATOR_HOST"] = slow
            for number, name in enumerate(histories):
                print(f"{name}, {args.answer * 1000:.0f} ms per answer")
                _measure(f"run-{number}")


def _new_run(name: str) -> "Run":
    from ardm.job.spec import parse
    from ardm.store import registry
    from ardm.store.run_directory import Run
    from ardm.store.store import Store

    run = Run(Store("gs://history/runs"), name)
    registry.open_run(run, parse("job: history", "history.yaml"), datetime.now(UTC))
    return run


def _measure(name: str) -> None:
    from ardm.analysis.status import status
    from ardm.events import history
    from ardm.runner import control
    from ardm.store.run_directory import Run
    from ardm.store.store import Store

    def restart(run: Run) -> None:
        past = history.read(run)
        number = past.records[-1].attempt
        control.failure(past.records, number)
        control.crash_loop(run, past.records, number, 3, lambda nodes: False)

    operations: dict[str, Callable[[Run], object]] = {
        "status": lambda run: status(run, NO_RAY),
        "stop": control.request_stop,
        "history read of a restart": restart,
    }
    for label, operation in operations.items():
        times = []
        for _ in range(ROUNDS):
            run = Run(Store("gs://history/runs"), name)
            begin = time.perf_counter()
            operation(run)
            times.append(time.perf_counter() - begin)
        print(
            f"  {label:26s} {statistics.median(times):.2f} s ({min(times):.2f} - {max(times):.2f})"
        )


@contextmanager
def _slow(address: str, seconds: float) -> Iterator[str]:
    """Run the delaying proxy in a separate process; yields its address."""
    from ardm.chaos.storage_faults import Fault, control

    command = [sys.executable, "-m", "ardm.chaos.storage_faults", address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        control(addresses["control"], Fault("slow", delay=seconds))
        yield addresses["address"]
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()

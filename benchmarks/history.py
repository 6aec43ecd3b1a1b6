"""Seconds that a long past costs: `status`, `stop` and the start of another attempt.

    .venv/bin/python benchmarks/history.py [--answer 0.04]

Two runs lie in a bucket of a GCS server on this machine, behind a proxy that answers every request
after so many seconds: one of 1,000 attempts, and one of a single attempt of 30 days that saves
every 30 s. Each reading is done by a store that has asked for nothing before.
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
    """Print the median, the shortest and the longest of each reading."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--answer", type=float, default=0.04, help="seconds per answer")
    args = parser.parse_args()
    from ardm.chaos import emulator, long_past

    with emulator.serve(emulator.free_port()) as address:
        os.environ |= emulator.settings(address)
        emulator.make_bucket(address, "history")
        pasts = {
            "1,000 attempts": lambda run: long_past.many_attempts(run, 1000),
            "one attempt of 30 days": lambda run: long_past.one_attempt(run, 30.0, step_s=10.0),
        }
        for number, write in enumerate(pasts.values()):
            write(_new_run(f"run-{number}"))
        with _slow(address, args.answer) as slow:
            os.environ["STORAGE_EMULATOR_HOST"] = slow
            for number, past in enumerate(pasts):
                print(f"{past}, {args.answer * 1000:.0f} ms per answer")
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

    readings: dict[str, Callable[[Run], object]] = {
        "status": lambda run: status(run, NO_RAY),
        "stop": control.request_stop,
        "history read of a restart": restart,
    }
    for what, reading in readings.items():
        took = []
        for _ in range(ROUNDS):
            run = Run(Store("gs://history/runs"), name)
            begin = time.perf_counter()
            reading(run)
            took.append(time.perf_counter() - begin)
        print(f"  {what:26s} {statistics.median(took):.2f} s ({min(took):.2f} - {max(took):.2f})")


@contextmanager
def _slow(address: str, seconds: float) -> Iterator[str]:
    """A proxy in a process of its own; gives its address."""
    from ardm.chaos.storage_faults import Fault, order

    command = [sys.executable, "-m", "ardm.chaos.storage_faults", address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        order(told["control"], Fault("slow", delay=seconds))
        yield told["address"]
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()

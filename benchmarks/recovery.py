"""Seconds from SIGKILL of a worker to the first new step, beside Ray Train with its defaults.

    .venv/bin/python benchmarks/recovery.py [jobs/smoke.yaml]

One cluster of this machine, one worker, the same training; first with Ray Train as it comes, then
as ardm sets it up. Compare the two columns, machines are noisy.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ardm.chaos.nodes import WORKER, Nodes, nodes, wait_until
from ardm.cluster import local
from ardm.runs import catalogue, control, ledger
from ardm.runs.layout import Run
from ardm.runs.spec import load
from ardm.runs.store import Store

KILLS, SETTLE, PATIENCE = 4, 40.0, 300.0
"""Workers killed of each kind; the seconds that each trains before, so that its spare is ready. The
first recovery fills the compilation cache and is left out."""

STAGES = ("detect", "start", "claim", "restore", "first step", "of it compile", "all")
"""detect: until Ray has a process for the new worker; start: until that process turns to the run
(Python, imports, joining the group); claim, restore and the first step as in the ledger."""


def main() -> None:
    """Kill workers of both kinds and print the medians and spreads."""
    job = Path(sys.argv[1] if len(sys.argv) > 1 else "jobs/smoke.yaml")
    folder = Path(tempfile.mkdtemp(prefix="ardm-recovery-"))
    with nodes({"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(folder / "jax")}) as ray:
        ray.add()
        wait_until(lambda: local.answers(ray.jobs), 60, "Ray's job server")
        found = {
            kind: list(recoveries(ray, job, folder, kind))[1:] for kind in ("defaults", "ardm")
        }
    shutil.rmtree(folder)
    print(f"{len(found['ardm'])} recoveries each, {os.cpu_count()} CPUs; median (least - most), s")
    for stage in STAGES:
        cells = [spread([recovery[stage] for recovery in found[kind]]) for kind in found]
        print(f"  {stage:14s}" + "".join(f"{cell:>24s}" for cell in cells))
    print(json.dumps(found))


def spread(seconds: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(seconds):.1f} ({min(seconds):.1f} - {max(seconds):.1f})"


def recoveries(ray: Nodes, job: Path, folder: Path, kind: str) -> Iterator[dict[str, float]]:
    """Train until killed, again and again; the stages of each recovery, in seconds."""
    run = Run(Store(str(folder / "runs")), kind)
    spec = load(
        job, ["training.steps=10000000", "evaluation.every=10000000", "evaluation.first=null"]
    )
    catalogue.open_run(run, spec, datetime.now(UTC))
    client = ["-m", "ardm.cluster.driver"] if kind == "ardm" else [__file__, "--defaults"]
    from ray.job_submission import JobSubmissionClient

    jobs = JobSubmissionClient(ray.jobs)
    entry = " ".join([sys.executable, *client, run.store.uri, run.name, kind])
    jobs.submit_job(entrypoint=entry, submission_id=kind)
    for attempt in range(1, KILLS + 1):
        wait_until(lambda n=attempt: event(run, n, "saved"), PATIENCE, "a checkpoint")
        time.sleep(SETTLE)
        (victim,) = ray.processes(WORKER)
        begin = time.time()
        victim.kill()
        wait_until(
            lambda pid=victim.pid: any(p.pid != pid for p in ray.processes(WORKER)), PATIENCE,
            "another worker", every=0.02,
        )  # fmt: skip
        detected = time.time()
        first = wait_until(lambda n=attempt + 1: event(run, n, "first_step"), PATIENCE, "a step")
        claim: dict[str, Any] = run.store.read_json(run.claim(attempt + 1)) or {}
        restored = event(run, attempt + 1, "restored") or {}
        claimed = event(run, attempt + 1, "claimed") or {}
        yield {
            "detect": detected - begin,
            "start": claim["began"] - detected,
            "claim": claimed["time"] - claim["began"],
            "restore": restored["time"] - claimed["time"],
            "first step": first["time"] - restored["time"],
            "of it compile": first["compile_s"],
            "all": first["time"] - begin,
        }
    number = control.request_stop(run)
    assert number
    control.wait_for_end(run, number, PATIENCE)
    jobs.stop_job(kind)
    wait_until(lambda: not ray.processes(WORKER), PATIENCE, "the end of the job")


def event(run: Run, attempt: int, kind: str) -> dict[str, Any] | None:
    """An event of an attempt, once it is in the store."""
    return ledger.last(ledger.read(run, attempt), kind)


def with_defaults(store: str, name: str, submission: str) -> None:
    """A driver that trains as ours does, on Ray Train as it comes."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    from ardm.cluster.workers import _work

    ray.init()
    DataParallelTrainer(
        _work,
        train_loop_config={"store": store, "run": name, "submission": submission},
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(
            name=submission,
            storage_path=str(Path(store) / "ray-results"),
            failure_config=FailureConfig(max_failures=-1),
        ),
    ).fit()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--defaults"]:
        with_defaults(*sys.argv[2:])
    else:
        main()

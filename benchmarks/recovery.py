"""What a kill and a notice cost, beside Ray Train with its defaults.

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
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ardm.analysis.status import status
from ardm.chaos.nodes import WORKER, Nodes, nodes, wait_until
from ardm.cluster import ports, raylet
from ardm.events import event_log, kinds
from ardm.job.spec import load
from ardm.runner import control
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store

KINDS = ("defaults", "ardm")

KILLS, SETTLE, PATIENCE = 4, 60.0, 300.0
"""Workers killed of each kind; the seconds that each trains before, so that its spare is ready. The
first recovery fills the compilation cache and is left out."""

DRAINS, AFTER, NOTICE = 3, 15.0, 25.0
"""Nodes drained under each kind; seconds from a save to the drain, so that the node's end does not
fall together with the next save; and the seconds until they are gone."""

OF_A_KILL = ("detect", "start", "claim", "restore", "first step", "of it compile", "all")
"""detect: until Ray has a process for the new worker; start: until that process turns to the run
(Python, imports, joining the group); claim, restore and the first step as in the event log."""

OF_A_DRAIN = ("until saved", "steps lost")


def main() -> None:
    """Kill workers and drain nodes under both kinds, and print the medians and spreads."""
    job = Path(sys.argv[1] if len(sys.argv) > 1 else "jobs/smoke.yaml")
    folder = Path(tempfile.mkdtemp(prefix="ardm-recovery-"))
    kills, drains = {}, {}
    with nodes({"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(folder / "jax")}) as ray:
        ray.add()
        wait_until(lambda: ports.answers(ray.jobs), 60, "Ray's job server")
        for kind in KINDS:
            with training(ray, job, folder, kind) as run:
                kills[kind] = list(told(f"{kind}, killed", killed(ray, run)))[1:]
                drains[kind] = list(told(f"{kind}, drained", drained(ray, run)))
    shutil.rmtree(folder)
    print(f"{os.cpu_count()} CPUs; median (least - most), seconds{'':14s}defaults{'':20s}ardm")
    print(f"SIGKILL of a worker to the next step, {KILLS - 1} each")
    show(OF_A_KILL, kills)
    print(f"a node's drain with a notice of {NOTICE:.0f} s, {DRAINS} each")
    show(OF_A_DRAIN, drains)
    print(json.dumps({"kills": kills, "drains": drains}))


def told(what: str, found: Iterator[dict[str, float]]) -> Iterator[dict[str, float]]:
    """The same, each told as it comes: it takes a quarter of an hour."""
    for one in found:
        print(f"{what}: " + ", ".join(f"{k} {v:.1f}" for k, v in one.items()), file=sys.stderr)
        yield one


def show(rows: tuple[str, ...], found: dict[str, list[dict[str, float]]]) -> None:
    """Print a table with a column for each kind."""
    for row in rows:
        cells = [spread([one[row] for one in found[kind] if row in one]) for kind in KINDS]
        print(f"  {row:26s}" + "".join(f"{cell:>24s}" for cell in cells))


def spread(seconds: list[float]) -> str:
    """Median, least and most."""
    if not seconds:
        return "never"
    return f"{statistics.median(seconds):.1f} ({min(seconds):.1f} - {max(seconds):.1f})"


@contextmanager
def training(ray: Nodes, job: Path, folder: Path, kind: str) -> Iterator[Run]:
    """A run without end."""
    run = Run(Store(str(folder / "runs")), kind)
    spec = load(
        job, ["training.steps=10000000", "evaluation.every=10000000", "evaluation.first=null"]
    )
    registry.open_run(run, spec, datetime.now(UTC))
    client = ["-m", "ardm.cluster.driver"] if kind == "ardm" else [__file__, "--defaults"]
    from ray.job_submission import JobSubmissionClient

    jobs = JobSubmissionClient(ray.jobs)
    entry = " ".join([sys.executable, *client, run.store.uri, run.name, kind])
    jobs.submit_job(entrypoint=entry, submission_id=kind)
    yield run
    number = control.request_stop(run)
    assert number
    control.wait_for_end(run, number, PATIENCE)
    jobs.stop_job(kind)
    wait_until(lambda: not ray.processes(WORKER), PATIENCE, "the end of the job")


def killed(ray: Nodes, run: Run) -> Iterator[dict[str, float]]:
    """Kill the worker, again and again; the stages of each recovery, in seconds."""
    for attempt in range(1, KILLS + 1):
        wait_until(partial(event, run, attempt, kinds.Saved), PATIENCE, "a checkpoint")
        time.sleep(SETTLE)
        (victim,) = ray.processes(WORKER)
        begin = time.time()
        victim.kill()
        another = partial(has_another, ray, victim.pid)
        wait_until(another, PATIENCE, "another worker", every=0.02)
        detected = time.time()
        first = wait_until(partial(event, run, attempt + 1, kinds.FirstStep), PATIENCE, "a step")
        claim: dict[str, Any] = run.store.read_record(run.claim(attempt + 1)) or {}
        restored = event(run, attempt + 1, kinds.Restored)
        claimed = event(run, attempt + 1, kinds.Claimed)
        assert restored
        assert claimed
        yield {
            "detect": detected - begin,
            "start": claim["began"] - detected,
            "claim": claimed.time - claim["began"],
            "restore": restored.time - claimed.time,
            "first step": first.time - restored.time,
            "of it compile": first.compile_s,
            "all": first.time - begin,
        }


def has_another(ray: Nodes, pid: int) -> bool:
    """Whether there is a worker with another process id."""
    return any(process.pid != pid for process in ray.processes(WORKER))


def drained(ray: Nodes, run: Run) -> Iterator[dict[str, float]]:
    """Drain the worker's node when there is another one, again and again."""
    for _ in range(DRAINS):
        attempt = max(run.attempts())
        wait_until(partial(event, run, attempt, kinds.Saved), PATIENCE, "a checkpoint")
        time.sleep(AFTER)
        (node,) = [node for node in ray.nodes if ray.processes(WORKER, node)]
        ray.add()
        begin = time.time()
        raylet.drain(node, "benchmark", NOTICE)
        wait_until(partial(event, run, attempt + 1, kinds.FirstStep), PATIENCE, "a step")
        ray.kill(node)
        found = {"steps lost": float(status(run, {})["attempts"][attempt - 1]["steps_lost"])}
        # Without word of the drain a worker saves at its usual times, and none is a last save.
        saved = event(run, attempt, kinds.Saved)
        if saved and event(run, attempt, kinds.FinalSave):
            found["until saved"] = saved.time - begin
        yield found


def event(run: Run, attempt: int, kind: type[kinds.E]) -> kinds.E | None:
    """The last event of a kind of an attempt, once it is in the store."""
    return kinds.last(event_log.read(run, attempt), kind)


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

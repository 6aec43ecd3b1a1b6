"""The spare process beside a worker, each in a process of its own; kills of workers that have one
are in `test_jobs.py`.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ardm.cluster import spare
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.runner.setting import opened

pytestmark = pytest.mark.slow


def python(code: str, *arguments: str, **variables: str) -> str:
    """What a program prints in a process that Ray has started for a worker."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"RAY_AUTH_MODE": "disabled"} | variables,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_ray_is_told_what_to_call_and_a_worker_of_several_gets_ready_for_no_run(
    tmp_path: Path,
) -> None:
    (hook,) = spare.environment(None).values()
    module, _, name = hook.rpartition(".")
    assert getattr(importlib.import_module(module), name) is spare.warm
    alone = spare.environment(Run(Store(str(tmp_path)), "mine"))
    assert alone.keys() - spare.environment(None).keys() == {spare.RUN}
    assert json.loads(alone[spare.RUN]) == [str(tmp_path), "mine"]


SEVERAL = """
import sys
from ardm.cluster import spare
from ardm.cluster.ports import free_ports
spare.warm()
print({"jax", "orbax.checkpoint", "ray.train", "ardm.runner.attempt"} <= set(sys.modules))
import jax
# JAX refuses this once a device is in use.
jax.distributed.initialize(f"127.0.0.1:{free_ports(0)[0]}", 1, 0)
print(jax.process_count())
"""


def test_one_of_several_imports_all_and_touches_no_device() -> None:
    assert python(SEVERAL, **spare.environment(None)).split()[:2] == ["True", "1"]


ALONE = """
import sys, threading
from ardm.cluster import spare
from ardm.cluster.worker_state import this_worker
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.runner.heartbeat import Heartbeat
from ardm.store import claims, registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
import ardm.cluster.workers, ardm.runner.attempt

spare.LOOK = 0.05
before = {*threading.enumerate()}
spare.warm()
(thread,) = [t for t in {*threading.enumerate()} - before if t.daemon]
thread.join(2.0)
print("waits", thread.is_alive())

run = Run(Store(sys.argv[1]), sys.argv[2])
number = claims.claim(run, {})
events = EventLog(run, number)
events.add(kinds.FirstStep(step=1, seconds=1.0, compile_s=1.0))
Heartbeat(run, number, events, dict).close()
thread.join(300.0)
spec = registry.read_spec(run)
taken = this_worker().head_start.take()
print("ready", taken is not None and taken.ready().config == spec.training)
"""


def test_a_spare_loads_the_programs_of_a_step_once_the_worker_trains(tmp_path: Path) -> None:
    run = opened(str(tmp_path / "runs"))
    said = python(ALONE, run.store.uri, run.name, **spare.environment(run))
    assert "waits True\n" in said
    assert "ready True\n" in said


DAMAGED = """
import logging, threading
from ardm.cluster import spare
logging.basicConfig(level=logging.WARNING)
before = {*threading.enumerate()}
spare.warm()
for thread in {*threading.enumerate()} - before:
    thread.join(60.0)
print("lives")
"""


def test_a_run_that_cannot_be_read_costs_a_warning_and_not_the_process(tmp_path: Path) -> None:
    run = Run(Store(str(tmp_path)), "damaged")
    event = {"event": "first_step", "time": 1.0, "step": 1, "seconds": 1.0, "compile_s": 1.0}
    run.store.create(run.claim(1), b"{}")
    run.store.write(run.progress(1), json.dumps({"beat": 1, "first_step": event}).encode())
    said = python(DAMAGED, **spare.environment(run))
    assert "the spare process could not prepare for the run" in said
    assert "no run 'damaged'" in said
    assert "lives" in said


SILENT = """
import logging, os, signal, sys, threading
import psutil, ray
from ardm.cluster import raylet, spare
logging.basicConfig(level=logging.WARNING)
threading.excepthook = lambda error: print("raised", error.exc_value)
spare.DELAY = 0.0
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
(node,) = ray.nodes()
mine = raylet.find(node["NodeID"])
before = {*threading.enumerate()}
os.kill(mine.pid, signal.SIGSTOP)
try:
    spare.keep_one()
    for thread in {*threading.enumerate()} - before:
        thread.join(60.0)
finally:
    os.kill(mine.pid, signal.SIGCONT)
print("lives")
"""


@pytest.mark.cluster
def test_a_node_that_starts_no_spare_costs_a_warning_alone() -> None:
    said = python(SILENT)
    assert "no spare worker on this node" in said
    assert "lives" in said
    assert "raised" not in said

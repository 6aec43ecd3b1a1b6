"""A spare process beside each worker: it has imported everything before it is needed.

The successor of a killed worker would first start a Python and import Ray Train, JAX and Orbax. If
it is to be the only worker of its run, and on CPU, it has even loaded the programs of a step.
"""

import json
import logging
import os
import threading
import time

import grpc
import ray

from ardm.cluster._ray import (
    WORKER_PROCESS_SETUP_HOOK_ENV_VAR,
    init_grpc_channel,
    node_manager_pb2,
    node_manager_pb2_grpc,
)
from ardm.cluster.worker_state import this_worker
from ardm.store.run_directory import Run

log = logging.getLogger(__name__)

RUN = "ARDM_GET_READY_FOR"
"""Environment variable of the worker processes: the store and the run to get ready for."""

DELAY = 30.0
"""Seconds from the start of a worker until it asks for its spare: its own start comes first."""

LOOK = 2.0
"""Seconds between two looks whether the worker trains."""

KEEP = 7 * 24 * 3600
"""Seconds that an unused spare lives; it ends with its job in any case."""


def environment(alone: Run | None) -> dict[str, str]:
    """Of the worker processes: Ray calls `warm` in each before it is given anything to do.

    Args:
        alone: the run whose only worker this will be, on CPU. A worker of several must not touch a
            device before it has joined them, and a GPU belongs to the worker that is at work.
    """
    hook = {WORKER_PROCESS_SETUP_HOOK_ENV_VAR: "ardm.cluster.spare.warm"}
    return hook | ({RUN: json.dumps([alone.store.uri, alone.name])} if alone else {})


def warm() -> None:
    """Import what a worker needs; then, on a thread, get ready for the run if one is named."""
    import ardm.cluster.workers
    import ardm.runner.attempt  # noqa: F401

    if named := os.environ.get(RUN):
        threading.Thread(target=_get_ready, args=json.loads(named), daemon=True).start()


def _get_ready(store: str, name: str) -> None:
    """Load the programs of a step, but not while the worker compiles them on the same cores."""
    from ardm.events.history import Newest
    from ardm.runner import control
    from ardm.runner.attempt import get_ready
    from ardm.store.store import Store
    from ardm.training.devices import cores_here, use_cpu

    use_cpu(cores_here())
    run = Run(Store(store), name)
    try:
        newest = Newest(run)
        while not control.trains(run, newest()):
            time.sleep(LOOK)
        get_ready(run, this_worker().head_start)
    except Exception as error:  # a worker does it all again, and reports what is wrong
        log.warning("not ready ahead of time (%s)", error)


def keep_one() -> None:
    """Soon, have Ray start a process on this node that the next worker of this job will take.

    Without a spare a recovery takes longer, and nothing else is amiss; so a failure is only logged.
    """
    timer = threading.Timer(DELAY, _start_one)
    timer.daemon = True
    timer.start()


def _start_one() -> None:
    try:
        _prestart(ray.get_runtime_context())
    except (grpc.RpcError, StopIteration) as error:
        log.warning("no spare worker on this node (%s)", error)


def _prestart(here: ray.runtime_context.RuntimeContext) -> None:
    """Ray gives a prestarted process to an actor of the same job and runtime environment."""
    mine = here.get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == mine)
    request = node_manager_pb2.PrestartWorkersRequest(
        num_workers=1,
        job_id=ray.JobID.from_hex(here.get_job_id()).binary(),
        keep_alive_duration_secs=KEEP,
    )
    request.runtime_env_info.serialized_runtime_env = here.get_runtime_env_string()
    with init_grpc_channel(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}") as channel:
        stub = node_manager_pb2_grpc.NodeManagerServiceStub(channel)
        stub.PrestartWorkers(request, timeout=10)

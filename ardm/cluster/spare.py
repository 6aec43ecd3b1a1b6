"""Spares: beside each worker, a process that has imported everything before it is needed.

Without it, the successor of a killed worker would first start Python and import Ray Train, JAX and
Orbax. The spare of a run's only worker, on CPU, has also loaded the compiled programs of a step.
"""

import json
import logging
import os
import threading
import time

import grpc
import ray

from ardm import collection
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
"""Environment variable of the worker processes: the store and the run to prepare for, as JSON."""

DELAY = 30.0
"""Seconds from the start of a worker until it requests a spare, so as not to slow its own start."""

LOOK = 2.0
"""Seconds between two checks whether the worker trains."""

KEEP = 7 * 24 * 3600
"""Seconds that an unused spare lives; it ends with its job at the latest."""


def environment(alone: Run | None) -> dict[str, str]:
    """Environment variables of the worker processes; Ray calls `warm` in each before other work.

    Args:
        alone: the run, if it has a single worker, on CPU; else None. One of several workers must
            not touch a device before it has joined the group, and a GPU is used by its worker.
    """
    hook = {WORKER_PROCESS_SETUP_HOOK_ENV_VAR: "ardm.cluster.spare.warm"}
    return hook | ({RUN: json.dumps([alone.store.uri, alone.name])} if alone else {})


def warm() -> None:
    """Import what a worker needs; then prepare for the run on a thread, if `RUN` is set."""
    collection.seldom()
    import ardm.cluster.workers
    import ardm.runner.attempt  # noqa: F401

    collection.spare_what_there_is()
    if store_and_run := os.environ.get(RUN):
        threading.Thread(target=_get_ready, args=json.loads(store_and_run), daemon=True).start()


def _get_ready(store: str, name: str) -> None:
    """Load the programs of a step, once the worker has compiled them: both use the same cores."""
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
    except Exception as error:  # the worker does all of it again, and reports its errors
        log.warning("the spare process could not prepare for the run (%s)", error)


def keep_one() -> None:
    """After a delay, have Ray start a process on this node for the next worker of this job.

    A failure is only logged: without a spare a recovery takes longer, but nothing else changes.
    """
    timer = threading.Timer(DELAY, _start_one)
    timer.daemon = True
    timer.start()


def _start_one() -> None:
    try:
        _prestart(ray.get_runtime_context())
    except (grpc.RpcError, StopIteration) as error:
        log.warning("no spare worker on this node (%s)", error)


def _prestart(context: ray.runtime_context.RuntimeContext) -> None:
    """Start a process that Ray gives to the next actor of this job and runtime environment."""
    node_id = context.get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == node_id)
    request = node_manager_pb2.PrestartWorkersRequest(
        num_workers=1,
        job_id=ray.JobID.from_hex(context.get_job_id()).binary(),
        keep_alive_duration_secs=KEEP,
    )
    request.runtime_env_info.serialized_runtime_env = context.get_runtime_env_string()
    with init_grpc_channel(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}") as channel:
        stub = node_manager_pb2_grpc.NodeManagerServiceStub(channel)
        stub.PrestartWorkers(request, timeout=10)

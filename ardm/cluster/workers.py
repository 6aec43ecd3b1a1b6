"""The workers under Ray Train; only this file and `_ray.py` import it."""

import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.train.backend import Backend, BackendConfig
from ray.util.placement_group import PlacementGroup

from ardm.cluster import raylet, spare
from ardm.cluster._ray import (
    DataParallelTrainer,
    DatasetsCallback,
    FailureConfig,
    PlacementGroupCleanerCallback,
    RunConfig,
    ScalingConfig,
    get_address_and_port,
)
from ardm.cluster.scaling import LOOK, policy
from ardm.cluster.worker_state import this_worker
from ardm.job.spec import JobSpec
from ardm.store.home import home
from ardm.store.run_directory import Run

log = logging.getLogger(__name__)

# Ray Train passes its settings from the driver to the workers.
_SETTINGS = {
    # Ray's defaults of 2 s and 5 s would be a good part of a notice of 30 s.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Our scaling policy watches for preemptions, and needs no process of its own.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Ray's default is ten minutes for a worker that hangs.
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "60",
    # Longer than a cloud machine takes to start; `local.py` sets a shorter one for a local Ray.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",
}


RANK_0_PATIENCE = 90.0
"""Seconds that another worker waits for rank 0 before it ends for the same reason. The last save
and last events of rank 0 take less (`ardm.runner.context`); if it dies or hangs, Ray notices."""

_NOT_NEEDED = (DatasetsCallback, PlacementGroupCleanerCallback)


class Restart(Exception):
    """Ends a worker whose run must go on: Ray would take a plain return for the end of the job."""


def fit(run: Run, spec: JobSpec, submission: str, *, gpu: bool) -> None:
    """Train with one group of workers after the other, until an attempt ends the job.

    Args:
        run: the run.
        spec: the frozen spec of the run.
        submission: Ray's submission id, written into every claim.
        gpu: whether each worker gets a GPU.
    """
    for name, seconds in _SETTINGS.items():
        os.environ.setdefault(name, seconds)
    free_placement_groups()
    resources = {"CPU": 1.0} | ({"GPU": 1.0} if gpu else {})
    scaling = spec.scaling
    fixed = scaling.fewest == scaling.most
    alone = scaling.most == 1 and not gpu
    trainer = _Trainer(
        _work,
        train_loop_config={"store": run.store.uri, "run": run.name, "submission": submission},
        backend_config=JaxProcesses(gpu=gpu, warm_spares=scaling.warm_spares),
        scaling_config=ScalingConfig(
            num_workers=scaling.most if fixed else (scaling.fewest, scaling.most),
            use_gpu=gpu,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=LOOK,
        ),
        run_config=RunConfig(
            name=submission,
            # Only Ray's own bookkeeping lies there; ardm relies on the run directory alone.
            storage_path=str(home() / "ray-results"),
            worker_runtime_env={"env_vars": spare.environment(run if alone else None)},
            # Ray counts a preemption as a failure. Crash loops are ended by ardm's own limits.
            failure_config=FailureConfig(max_failures=-1),
        ),
    )
    trainer.sizes = scaling.sizes(spec.training.grad_shards)
    trainer.fit()


def free_placement_groups() -> None:
    """Remove the placement groups of this job, which a controller that died has left.

    Ray (2.60) keeps a dead actor's placement group until its job ends. The id of a placement group
    ends with the id of its job.
    """
    job = ray.get_runtime_context().get_job_id()
    for group_id, entry in ray.util.placement_group_table().items():
        if group_id.endswith(job) and entry["state"] != "REMOVED":
            group = PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id)))
            ray.util.remove_placement_group(group)


class _Trainer(DataParallelTrainer):
    """Ray's trainer with our scaling policies, without its helper processes.

    Each of the helpers is a Python process that imports as much as a worker does.
    """

    sizes: Sequence[int] = ()

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        parts["scaling_policy"] = policy(self.scaling_config, self.sizes)
        return super()._initialize_and_run_controller(**parts)

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, _NOT_NEEDED)]


@dataclass
class JaxProcesses(BackendConfig):
    """One JAX process per worker, connected by `jax.distributed`, on CPUs and on GPUs.

    Ray's own JaxConfig (2.60) does not connect CPU workers and sets no timeouts: with JAX's
    defaults a group waits minutes for a dead worker.
    """

    gpu: bool = False
    warm_spares: bool = True
    heartbeat_s: int = 10
    start_s: int = 60
    shutdown_s: int = 10

    @property
    def backend_cls(self) -> type[Backend]:
        return _JaxBackend


class _JaxBackend(Backend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        address, port = worker_group.execute_single(0, get_address_and_port)
        nodes = [worker.metadata.node_id for worker in worker_group.get_workers()]
        joins = [
            worker_group.execute_single_async(
                rank, _join, f"{address}:{port}", nodes, rank, backend_config
            )
            for rank in range(len(nodes))
        ]
        ray.get(joins)


def _join(address: str, nodes: list[str], rank: int, config: JaxProcesses) -> None:
    """Join this worker's process to the group's JAX processes, before JAX touches a device."""
    import jax

    from ardm.runner._jax import keep_gloo_at
    from ardm.training.devices import cores_here, use_cores, use_cpu

    this_worker().nodes = nodes
    cores = cores_here() // ray.train.get_context().get_local_world_size()
    if config.gpu:
        # Ray makes the GPUs of all workers on a node visible to each of them.
        os.environ["CUDA_VISIBLE_DEVICES"] = str(ray.get_gpu_ids()[0])
        use_cores(cores)
    else:
        use_cpu(cores)

    if len(nodes) > 1:
        keep_gloo_at(ray.util.get_node_ip_address())
        jax.distributed.initialize(
            address,
            len(nodes),
            rank,
            coordinator_bind_address=address if rank == 0 and _can_bind(address) else None,
            cluster_detection_method="deactivate",
            heartbeat_timeout_seconds=config.heartbeat_s,
            initialization_timeout=config.start_s,
            shutdown_timeout_seconds=config.shutdown_s,
        )
    if config.warm_spares:
        spare.keep_one()


def _can_bind(address: str) -> bool:
    """Whether an address is this machine's own, rather than that of a gateway in front of it.

    If it is not, JAX has to listen on every interface.
    """
    host = address.rpartition(":")[0].strip("[]")
    try:
        with socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        ):
            return True
    except OSError as error:
        log.warning("%s is no address of this machine (%s): JAX listens on all", host, error)
        return False


def _work(config: dict[str, Any]) -> None:
    """Run one attempt in a worker; ends with `Restart` unless the job has ended."""
    from ardm.events.events import Outcome
    from ardm.runner import control
    from ardm.runner._jax import write_every_process
    from ardm.runner.attempt import run_attempt
    from ardm.runner.context import Context
    from ardm.runner.follower import ENDS_WITH_PROCESS_0
    from ardm.store import registry
    from ardm.store.store import Store
    from ardm.training.group import Alone, Group, Processes

    run = Run(Store(config["store"]), config["run"])
    if ray.train.get_context().get_world_size() > 1:
        group: Group = Processes()
        write_every_process()
    else:
        group = Alone()
    state = this_worker()
    metadata = {"submission": config["submission"], "nodes": state.nodes}
    context = Context(
        group, state.drain, metadata, state.resize, raylet.gone, head_start=state.head_start
    )
    ended = run_attempt(run, registry.read_spec(run), context)
    if ended.outcome.ends_the_job:
        return
    if ended.outcome == Outcome.SUPERSEDED and control.taken_over(run, config["submission"]):
        # If this job claimed the run again, the two jobs would take it from each other for ever.
        return
    if group.rank > 0 and ended.outcome in ENDS_WITH_PROCESS_0:
        # Ray ends the whole group when its first worker fails, and rank 0 may still be saving.
        time.sleep(RANK_0_PATIENCE)
    raise Restart(f"{ended.outcome} at step {ended.step}: {ended.reason}")

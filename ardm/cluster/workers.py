"""The workers under Ray Train. The only file that imports it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train._internal.utils import get_address_and_port
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.execution.context import get_train_context
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from ardm.runs.layout import Run
from ardm.runs.spec import JobSpec

# Ray Train's settings travel from the driver to the workers.
_SETTINGS = {
    # Ray's 2 s and 5 s would be a good part of a notice of 30 s.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "0.5",
    # Longer than a cloud machine takes to come up; a local Ray has a shorter one of its own.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",
}


class Restart(Exception):
    """Ends a worker whose run must go on; Ray takes a plain return for the end of the job."""


class Drain:
    """Whether Ray drains the node of a worker of this group; looked at in every step.

    Ray's own `get_preemption_info` is a collective of all workers (4-7 ms); the flag that it hands
    round is in this process (Ray 2.60), and the step hands it round with the gradients anyway.
    """

    @property
    def reason(self) -> str | None:
        """Which workers lose their machine; None if none does."""
        info = get_train_context().preemption_context.preemption_info
        if info is None:
            return None
        ranks = ", ".join(map(str, info.preempted_ranks))
        return f"Ray drains the node of rank {ranks}"


def fit(run: Run, spec: JobSpec, submission: str, *, gpu: bool) -> None:
    """Train with a group of workers, again and again until an attempt ends the job.

    Args:
        run: the run.
        spec: its frozen spec.
        submission: Ray's id of the job, written into every claim.
        gpu: one GPU for each worker.
    """
    for name, seconds in _SETTINGS.items():
        os.environ.setdefault(name, seconds)
    resources = {"CPU": 1.0} | ({"GPU": 1.0} if gpu else {})
    trainer = DataParallelTrainer(
        _work,
        train_loop_config={"store": run.store.uri, "run": run.name, "submission": submission},
        backend_config=JaxProcesses(gpu=gpu),
        scaling_config=ScalingConfig(
            num_workers=spec.scaling.workers, use_gpu=gpu, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=submission,
            # Ray keeps a little bookkeeping there; our truth is the run directory.
            storage_path=str(Path("~/.cache/ardm/ray-results").expanduser()),
            # A preemption is a failure to Ray. The run's own guards end a crash loop.
            failure_config=FailureConfig(max_failures=-1),
        ),
    )
    trainer.fit()


@dataclass
class JaxProcesses(BackendConfig):
    """One JAX process per worker, joined by `jax.distributed`, on CPUs and GPUs alike.

    Ray's own JaxConfig (2.60) leaves CPU workers apart and sets no time-outs: with JAX's defaults a
    group waits minutes for a worker that is dead.
    """

    gpu: bool = False
    heartbeat_s: int = 10
    start_s: int = 60
    shutdown_s: int = 10

    @property
    def backend_cls(self) -> type[Backend]:
        return _JaxBackend


class _JaxBackend(Backend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        address, port = worker_group.execute_single(0, get_address_and_port)
        size = len(worker_group)
        joining = [
            worker_group.execute_single_async(
                rank, _join, f"{address}:{port}", size, rank, backend_config
            )
            for rank in range(size)
        ]
        ray.get(joining)


def _join(address: str, size: int, rank: int, config: JaxProcesses) -> None:
    """Make this worker's process one JAX process of the group; before JAX touches a device."""
    if config.gpu:
        # Ray shows a worker the GPUs of all workers on its node.
        os.environ["CUDA_VISIBLE_DEVICES"] = str(ray.get_gpu_ids()[0])
    else:
        os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    from ardm.training.lanes import cores_here, use_cores

    use_cores(cores_here() // ray.train.get_context().get_local_world_size())

    if size > 1:
        jax.distributed.initialize(
            address,
            size,
            rank,
            cluster_detection_method="deactivate",
            heartbeat_timeout_seconds=config.heartbeat_s,
            initialization_timeout=config.start_s,
            shutdown_timeout_seconds=config.shutdown_s,
        )


def _work(config: dict[str, Any]) -> None:
    """What each worker runs."""
    from ardm.runs import catalogue
    from ardm.runs.compilation import write_from_every_process
    from ardm.runs.outcome import ENDS_THE_JOB
    from ardm.runs.place import Place
    from ardm.runs.session import run_attempt
    from ardm.runs.store import Store
    from ardm.training.group import Alone, Group, Processes

    run = Run(Store(config["store"]), config["run"])
    if ray.train.get_context().get_world_size() > 1:
        group: Group = Processes()
        write_from_every_process()
    else:
        group = Alone()
    about = {"submission": config["submission"], "node": ray.get_runtime_context().get_node_id()}
    ended = run_attempt(run, catalogue.read_spec(run), Place(group, Drain(), about))
    if ended.kind not in ENDS_THE_JOB:
        raise Restart(f"{ended.kind} at step {ended.step}: {ended.reason}")

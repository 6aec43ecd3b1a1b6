"""A Ray of its own with three CPUs; prints what a policy decides, and what workers hear of it."""

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import ray
from ray.train import BackendConfig, DataConfig
from ray.train.v2._internal.execution.context import (  # private: what a controller is made of
    DistributedContext,
    TrainRunContext,
)
from ray.train.v2._internal.execution.worker_group.state import (  # private: the same
    WorkerGroupState,
)
from ray.train.v2._internal.execution.worker_group.worker import (  # private: the same
    RayTrainWorker,
    Worker,
)

from ardm.cluster import _ray, raylet, scaling  # private: the door to Ray's own classes

SIZES = (1, 2, 4)


def group(size: int) -> WorkerGroupState:
    """Real workers of Ray Train, which train nothing."""
    workers = []
    for rank in range(size):
        actor = ray.remote(RayTrainWorker).options(num_cpus=0).remote()
        place = DistributedContext(rank, size, rank, size, 0)
        workers.append(Worker(actor, ray.get(actor.get_metadata.remote()), {}, place))
    return WorkerGroupState(0.0, None, workers, None)


def heard(workers: list[Worker]) -> list[Any]:
    """What each worker has been told since it was started."""

    def reasons() -> tuple[str | None, str | None]:
        from ardm.cluster.worker_state import this_worker

        return this_worker().drain.reason, this_worker().resize.reason

    return ray.get([worker.execute_async(reasons) for worker in workers])


def show(name: str, decision: Any, state: WorkerGroupState | None = None) -> None:
    fields = {"decision": type(decision).__name__, **asdict(decision)}
    reasons = heard(state.workers) if state else None
    print(json.dumps({"name": name, "heard": reasons, **fields}), flush=True)


def policy(workers: Any) -> Any:
    config = _ray.ScalingConfig(
        num_workers=workers,
        resources_per_worker={"CPU": 1.0},
        elastic_resize_monitor_interval_s=0.0,
    )
    chosen = scaling.policy(config, SIZES)
    chosen.after_controller_start(
        TrainRunContext(
            run_config=_ray.RunConfig(name="rooms", storage_path=sys.argv[1]),
            train_loop_config=None,
            scaling_config=config,
            backend_config=BackendConfig(),
            dataset_config=DataConfig(),
        )
    )
    return chosen


def first(elastic: Any) -> Any:
    """The first decision about a group: Ray's coordinator takes its time to begin."""
    deadline = time.monotonic() + 120
    while True:
        decision = elastic.make_decision_for_non_running_worker_group()
        if getattr(decision, "num_workers", 0) > 1 or time.monotonic() > deadline:
            return decision
        time.sleep(0.5)


if __name__ == "__main__":
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    fixed, elastic = policy(2), policy((1, 4))
    show("fixed", fixed.make_decision_for_non_running_worker_group())
    show("room for three", first(elastic))
    one, two = group(1), group(2)
    show("one of two", elastic.make_decision_for_running_worker_group(one, None), one)
    show("two of two", elastic.make_decision_for_running_worker_group(two, None), two)
    show("fixed and well", fixed.make_decision_for_running_worker_group(two, None), two)
    (node,) = ray.nodes()
    raylet.drain(raylet.find(node["NodeID"]), "test", 600.0)
    while not _ray.state.get_draining_nodes():
        time.sleep(0.1)
    show("fixed and drained", fixed.make_decision_for_running_worker_group(two, None), two)
    show("elastic and drained", elastic.make_decision_for_running_worker_group(one, None), one)
    show("no room", elastic.make_decision_for_non_running_worker_group())

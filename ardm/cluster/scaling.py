"""Scaling policies for Ray Train: how many workers train, and when a group of them should end.

Ray Train's controller asks its policy twice a second whether to change the group of workers. Ours
notify the workers that one of their nodes is being drained, or that there is room for more workers.
The workers then save and end, and the next group goes on from their checkpoint.
"""

import logging
from collections.abc import Sequence
from typing import Any

import ray

from ardm.cluster._ray import (
    ElasticScalingPolicy,
    FixedScalingPolicy,
    NoopDecision,
    ResizeDecision,
    ScalingDecision,
    ScalingPolicy,
)
from ardm.cluster._ray import state as cluster
from ardm.cluster.raylet import answers
from ardm.cluster.worker_state import this_worker

log = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two checks for room to grow."""


def policy(config: Any, sizes: Sequence[int]) -> ScalingPolicy:
    """The scaling policy of a job.

    Args:
        config: Ray Train's scaling configuration, with the number of workers or its bounds.
        sizes: the allowed numbers of workers, ascending.
    """
    return Elastic(config, sizes) if config.elasticity_enabled else Fixed(config)


class Fixed(FixedScalingPolicy):
    """A fixed number of workers.

    The workers' placement group already requests the resources from Ray's autoscaler. Ray's own
    policy requests them a second time, through an actor that takes seconds to start.
    """

    def after_controller_start(self, train_run_context: Any) -> None:
        """Does not start that actor."""

    def _maybe_send_resource_request(self) -> None:
        pass

    def make_decision_for_running_worker_group(
        self, worker_group_state: Any, worker_group_status: Any
    ) -> ScalingDecision:
        """Never changes the group."""
        notify_of_drains(worker_group_state.workers)
        return NoopDecision()


class Elastic(ElasticScalingPolicy):
    """The largest number of workers that the cluster has room for and that divides the shards.

    Ray's own policy takes any number between its bounds, kills a group that could be larger, and
    counts a lost node until its coordinator checks again (20 s).

    Args:
        scaling_config: Ray Train's scaling configuration, with the bounds.
        sizes: the allowed numbers of workers, ascending.
    """

    def __init__(self, scaling_config: Any, sizes: Sequence[int]) -> None:
        super().__init__(scaling_config)
        self._sizes = sizes

    def after_controller_start(self, train_run_context: Any) -> None:
        """Keeps Ray's policy from logging at every check that nothing has changed."""
        super().after_controller_start(train_run_context)
        logging.getLogger(ElasticScalingPolicy.__module__).setLevel(logging.WARNING)

    def _count_possible_workers(self, reserved_resources: dict[str, Any]) -> int:
        draining = cluster.get_draining_nodes()
        usable = {
            node["NodeID"]
            for node in ray.nodes()
            if node["NodeID"] in reserved_resources.keys() - draining and answers(node)
        }
        room = super()._count_possible_workers({node: reserved_resources[node] for node in usable})
        return max((size for size in self._sizes if size <= room), default=0)

    def make_decision_for_running_worker_group(
        self, worker_group_state: Any, worker_group_status: Any
    ) -> ScalingDecision:
        """Never kills a running group; one that could be larger is asked to save and end."""
        workers = worker_group_state.workers
        notify_of_drains(workers)
        decision = super().make_decision_for_running_worker_group(
            worker_group_state, worker_group_status
        )
        if isinstance(decision, ResizeDecision) and decision.num_workers > len(workers):
            reason = f"the group grows from {len(workers)} to {decision.num_workers} workers"
            log.info("%s", reason)
            notify(workers, make_room, reason)
        return NoopDecision()


def notify_of_drains(workers: Sequence[Any]) -> None:
    """Notify the workers of a group if Ray drains one of their nodes.

    Ray Train's own watcher for drains is one more process to start with every group.
    """
    draining = cluster.get_draining_nodes()
    ranks = [w.distributed_context.world_rank for w in workers if w.metadata.node_id in draining]
    if ranks:
        notify(workers, give_notice, f"Ray drains the node of rank {', '.join(map(str, ranks))}")


def notify(workers: Sequence[Any], function: Any, reason: str) -> None:
    """Call a function in the process of every worker, without waiting for it."""
    for worker in workers:
        worker.execute_async(function, reason)


def give_notice(reason: str) -> None:
    """Record in a worker's process that a machine of the group will be taken away."""
    this_worker().drain.reason = reason


def make_room(reason: str) -> None:
    """Record in a worker's process that there is room for a larger group."""
    this_worker().resize.reason = reason

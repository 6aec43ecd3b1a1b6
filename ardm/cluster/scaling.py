"""How many workers train, and what makes a group of them end: asked from Ray Train's controller.

A policy of Ray Train is asked twice a second whether the group should be another one. Ours tell the
workers that a node of theirs is being drained, or that there is room for more of them; the workers
save and end by themselves, and the next group begins where they left.
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
"""Seconds between two looks for room to grow."""


def policy(config: Any, sizes: Sequence[int]) -> ScalingPolicy:
    """The policy of a job.

    Args:
        config: for Ray Train, with the number of workers or its bounds.
        sizes: the numbers of workers that may train, ascending.
    """
    return Elastic(config, sizes) if config.elasticity_enabled else Fixed(config)


class Fixed(FixedScalingPolicy):
    """Always the same number of workers.

    The placement group of the workers tells Ray's autoscaler what is wanted; Ray's own policy tells
    it once more, through an actor that takes seconds to start.
    """

    def after_controller_start(self, train_run_context: Any) -> None:
        """Nobody needs to be told."""

    def _maybe_send_resource_request(self) -> None:
        pass

    def make_decision_for_running_worker_group(
        self, worker_group_state: Any, worker_group_status: Any
    ) -> ScalingDecision:
        """Leaves the group alone."""
        tell_of_drains(worker_group_state.workers)
        return NoopDecision()


class Elastic(ElasticScalingPolicy):
    """As many workers as the cluster has room for, of the sizes that divide the shards.

    Ray's own policy takes any number between its bounds, kills a group that should be larger, and
    counts with a lost node until its coordinator looks again (20 s).

    Args:
        scaling_config: with the bounds.
        sizes: see `policy`.
    """

    def __init__(self, scaling_config: Any, sizes: Sequence[int]) -> None:
        super().__init__(scaling_config)
        self._sizes = sizes

    def after_controller_start(self, train_run_context: Any) -> None:
        """Keeps Ray's policy from saying at every look that nothing has changed."""
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
        """Never has a running group killed; one that could be larger is asked to make way."""
        workers = worker_group_state.workers
        tell_of_drains(workers)
        decision = super().make_decision_for_running_worker_group(
            worker_group_state, worker_group_status
        )
        if isinstance(decision, ResizeDecision) and decision.num_workers > len(workers):
            reason = f"the group grows from {len(workers)} to {decision.num_workers} workers"
            log.info("%s", reason)
            tell(workers, make_room, reason)
        return NoopDecision()


def tell_of_drains(workers: Sequence[Any]) -> None:
    """Give notice to a group of which Ray drains a node.

    Ray Train has a watcher for it, which is one more process to start with every group.
    """
    draining = cluster.get_draining_nodes()
    ranks = [w.distributed_context.world_rank for w in workers if w.metadata.node_id in draining]
    if ranks:
        tell(workers, give_notice, f"Ray drains the node of rank {', '.join(map(str, ranks))}")


def tell(workers: Sequence[Any], what: Any, reason: str) -> None:
    """Call a function in the process of every worker, without waiting for it."""
    for worker in workers:
        worker.execute_async(what, reason)


def give_notice(reason: str) -> None:
    """A machine of the group goes away. Runs in a worker."""
    this_worker().drain.reason = reason


def make_room(reason: str) -> None:
    """There is room for a larger group. Runs in a worker."""
    this_worker().resize.reason = reason

"""What faults are injected into: the run, its cluster and its store."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ardm.chaos.nodes import WORKER, Nodes
from ardm.chaos.schedule import PlannedFault
from ardm.chaos.storage_faults import Proxy
from ardm.chaos.watch import Watch
from ardm.cluster.raylet import Raylet
from ardm.store.run_directory import Run


class NoTarget(Exception):
    """At this moment there is nothing that the fault can be injected into."""


@dataclass
class Targets:
    """A run, its cluster and its store, into which faults are injected."""

    run: Run
    """The run, read through a store address that bypasses the faults of the proxy."""
    nodes: Nodes
    proxy: Proxy
    watch: Watch
    node_count: int
    """Number of nodes, besides the head, of the complete cluster."""
    deferred: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)
    """Actions to run later, each with the time at which it is due (monotonic seconds)."""

    def later(self, seconds: float, action: Callable[[], Any]) -> None:
        """Run an action after this many seconds, on the thread that calls `run_due_actions`."""
        self.deferred.append((time.monotonic() + seconds, action))

    def run_due_actions(self) -> None:
        now = time.monotonic()
        for item in [item for item in self.deferred if item[0] <= now]:
            self.deferred.remove(item)
            item[1]()


def pick(candidates: list[Any], planned: PlannedFault) -> Any:
    """The candidate that the plan of the fault selects.

    Raises:
        NoTarget: there is no candidate.
    """
    if not candidates:
        raise NoTarget
    return candidates[int(planned.pick * len(candidates))]


def pick_node(nodes: Nodes, planned: PlannedFault) -> Raylet:
    """The node, among those on which a worker runs, that the plan of the fault selects.

    Raises:
        NoTarget: no node runs a worker.
    """
    node: Raylet = pick([n for n in nodes.nodes if nodes.processes(WORKER, n)], planned)
    return node

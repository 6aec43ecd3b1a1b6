"""What faults happen to, and whom."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ardm.chaos.nodes import WORKER, Nodes
from ardm.chaos.schedule import Planned
from ardm.chaos.storage_faults import Proxy
from ardm.chaos.watch import Watch
from ardm.cluster.raylet import Raylet
from ardm.store.run_directory import Run


class NoVictim(Exception):
    """There is nothing at this moment that the fault could happen to."""


@dataclass
class Stage:
    """What faults happen to."""

    run: Run
    """Reached without faults."""
    nodes: Nodes
    proxy: Proxy
    watch: Watch
    size: int
    """Nodes that the cluster has while none is missing."""
    due: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)
    """Things to do later, with the moment (monotonic seconds)."""

    def later(self, seconds: float, action: Callable[[], Any]) -> None:
        self.due.append((time.monotonic() + seconds, action))

    def do_what_is_due(self) -> None:
        now = time.monotonic()
        for item in [item for item in self.due if item[0] <= now]:
            self.due.remove(item)
            item[1]()


def pick(victims: list[Any], planned: Planned) -> Any:
    """One of the possible victims.

    Raises:
        NoVictim: there is none.
    """
    if not victims:
        raise NoVictim
    return victims[int(planned.pick * len(victims))]


def pick_node(nodes: Nodes, planned: Planned) -> Raylet:
    """A node on which a worker runs.

    Raises:
        NoVictim: there is none.
    """
    node: Raylet = pick([n for n in nodes.nodes if nodes.processes(WORKER, n)], planned)
    return node

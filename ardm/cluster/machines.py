"""Which of the cluster's machines are there; Ray calls them nodes."""

import socket
from collections.abc import Collection
from typing import Any

import ray


def answers(node: dict[str, Any]) -> bool:
    """Whether a node is there; for some seconds after its end Ray counts it among the living."""
    address = node["NodeManagerAddress"], node["NodeManagerPort"]
    try:
        socket.create_connection(address, timeout=1.0).close()
    except OSError:
        return False
    return bool(node["Alive"])


def gone(ids: Collection[str]) -> bool:
    """Whether any node of these ids has ended, as one does that is preempted without notice."""
    named = (node for node in ray.nodes() if node["NodeID"] in ids)
    return sum(answers(node) for node in named) < len(ids)

"""Ray nodes: finding the one on this machine, draining it, and checking which have ended."""

import socket
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray

from ardm.errors import InputError, JobFailed

PATIENCE = 10.0
"""Seconds within which the head node must answer."""


@dataclass(frozen=True)
class Raylet:
    """A node of a Ray cluster, as seen from its raylet process on this machine."""

    node_id: str
    address: str
    """Address of the cluster's head node, host:port."""
    pid: int
    created: float
    """Start time of the process, since the system may give its pid to another one."""

    def alive(self) -> bool:
        """Whether the process is still running."""
        try:
            process = psutil.Process(self.pid)
            same = process.create_time() == self.created
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def here() -> Iterator[Raylet]:
    """All Ray nodes on this machine."""
    for process in psutil.process_iter(["cmdline", "create_time", "status"]):
        line = process.info["cmdline"] or [""]
        dead = process.info["status"] == psutil.STATUS_ZOMBIE
        if Path(line[0]).name != "raylet" or dead:
            continue
        options = dict(word.split("=", 1) for word in line if word.startswith("--") and "=" in word)
        if "--node_id" in options and "--gcs-address" in options:
            created = process.info["create_time"]
            yield Raylet(options["--node_id"], options["--gcs-address"], process.pid, created)


def find(node_id: str | None = None, address: str | None = None, patience: float = 0.0) -> Raylet:
    """The Ray node on this machine.

    Args:
        node_id: id of the node, if several nodes share the machine.
        address: address of its head node, host:port, if nodes of several clusters share the
            machine.
        patience: seconds to wait for a node that is just being started.

    Raises:
        InputError: there is no such node, or more than one.
    """
    deadline = time.monotonic() + patience
    while True:
        raylets = list(here())
        matching = [
            raylet
            for raylet in raylets
            if node_id in (None, raylet.node_id)
            and (address is None or _same(address, raylet.address))
        ]
        if matching or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if len(matching) == 1:
        return matching[0]
    options = "".join(f"\n  --node-id {r.node_id} --address {r.address}" for r in raylets)
    if matching:
        raise InputError(f"several Ray nodes run on this machine; name one of them:{options}")
    if raylets:
        raise InputError(f"no such Ray node runs on this machine; these do:{options}")
    raise InputError("no Ray node runs on this machine; start it first, with `ray start`")


def drain(raylet: Raylet, message: str, deadline: float) -> None:
    """Have Ray drain a node, as one that is about to be preempted.

    Args:
        raylet: the node.
        message: reason of the drain, for Ray's logs.
        deadline: seconds from now until the machine is gone.

    Raises:
        JobFailed: the head node cannot be reached, or refuses.
    """
    from ray.exceptions import RpcError

    from ardm.cluster._ray import autoscaler_pb2

    _require_head(raylet.address)
    until = round((time.time() + deadline) * 1000)
    reason = autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION
    try:
        client = _client_that_knows(raylet)
        accepted, why = client.drain_node(raylet.node_id, reason, message, until, timeout=PATIENCE)
    except RpcError as error:
        raise JobFailed(f"the Ray head at {raylet.address} does not drain: {error}") from error
    if not accepted:
        raise JobFailed(f"the Ray head at {raylet.address} refuses to drain this node: {why}")


def _client_that_knows(raylet: Raylet) -> Any:
    """A client of the head node, once the node has joined it.

    Before that the head node accepts the drain and forgets it.
    """
    from ray import NodeID

    from ardm.cluster._ray import GcsClient

    client = GcsClient(address=raylet.address)
    deadline = time.monotonic() + PATIENCE
    while not client.check_alive([NodeID.from_hex(raylet.node_id)], PATIENCE)[0]:
        if time.monotonic() > deadline:
            raise JobFailed(
                f"the Ray head at {raylet.address} does not count node {raylet.node_id} among its "
                "living ones, so it is not drained; see whether the two still reach each other"
            )
        time.sleep(0.2)
    return client


def _require_head(address: str) -> None:
    """Check that the head node listens: Ray's client waits 40 s for it, longer than any notice."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except OSError as error:
        raise JobFailed(
            f"the Ray head at {address} cannot be reached ({error}), so this node is not drained: "
            "what its workers have not saved will be lost"
        ) from error


def _same(given: str, real: str) -> bool:
    """Whether a given address is that of a raylet's head node, which Ray gives as an IP address."""
    host, _, port = given.rpartition(":")
    here = host in ("127.0.0.1", "localhost", "[::1]")
    return given == real or (here and port == real.rpartition(":")[2])


def answers(node: dict[str, Any]) -> bool:
    """Whether a node is alive: Ray lists it as alive for some seconds after its end."""
    address = node["NodeManagerAddress"], node["NodeManagerPort"]
    try:
        socket.create_connection(address, timeout=1.0).close()
    except OSError:
        return False
    return bool(node["Alive"])


def gone(ids: Collection[str]) -> bool:
    """Whether any node with one of these ids has ended, as after a preemption without notice."""
    nodes = (node for node in ray.nodes() if node["NodeID"] in ids)
    return sum(answers(node) for node in nodes) < len(ids)

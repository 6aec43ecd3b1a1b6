"""The Ray nodes: which of them are there, the one on this machine, and how it is drained."""

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
"""Seconds that the head may take to answer."""


@dataclass(frozen=True)
class Raylet:
    """A node of a Ray cluster, as its process on this machine tells it."""

    node_id: str
    address: str
    """Of the cluster's head, host:port."""
    pid: int
    created: float
    """When the process began: a pid alone may pass to another."""

    def alive(self) -> bool:
        """Whether the process still runs."""
        try:
            process = psutil.Process(self.pid)
            same = process.create_time() == self.created
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def here() -> Iterator[Raylet]:
    """Every Ray node of this machine."""
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
    """The Ray node of this machine.

    Args:
        node_id: its id, where several nodes share the machine.
        address: of its head, host:port, where nodes of several clusters share the machine.
        patience: seconds to wait for one that is just being started.

    Raises:
        InputError: there is none, or more than one.
    """
    deadline = time.monotonic() + patience
    while True:
        every = list(here())
        found = [
            raylet
            for raylet in every
            if node_id in (None, raylet.node_id)
            and (address is None or _same(address, raylet.address))
        ]
        if found or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if len(found) == 1:
        return found[0]
    shown = "".join(f"\n  --node-id {r.node_id} --address {r.address}" for r in every)
    if found:
        raise InputError(f"several Ray nodes run on this machine; name one of them:{shown}")
    if every:
        raise InputError(f"no such Ray node runs on this machine; these do:{shown}")
    raise InputError("no Ray node runs on this machine; start it first, with `ray start`")


def drain(raylet: Raylet, message: str, deadline: float) -> None:
    """Have Ray take a node for one that is being preempted.

    Args:
        raylet: the node.
        message: why, for people.
        deadline: seconds from now until the machine is gone.

    Raises:
        JobFailed: the head cannot be reached, or refuses.
    """
    from ray.exceptions import RpcError

    from ardm.cluster._ray import autoscaler_pb2

    _knock(raylet.address)
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
    """A client of a head that a node has joined; to drain any other is accepted and forgotten."""
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


def _knock(address: str) -> None:
    """Ray's client would wait 40 s for a head that is not there: longer than any notice."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except OSError as error:
        raise JobFailed(
            f"the Ray head at {address} cannot be reached ({error}), so this node is not drained: "
            "what its workers have not saved will be lost"
        ) from error


def _same(given: str, real: str) -> bool:
    """Whether an address is that of a raylet's head, which Ray names by IP number."""
    host, _, port = given.rpartition(":")
    here = host in ("127.0.0.1", "localhost", "[::1]")
    return given == real or (here and port == real.rpartition(":")[2])


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

"""Ray clusters of several nodes on this machine, ended with the processes that were started."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from ray import NodeID
from ray._private.state import GlobalState
from ray._raylet import GcsClient, GcsClientOptions
from ray.core.generated.common_pb2 import NodeDeathInfo

from ardm.cluster import raylet
from tests.cluster.conftest import ARDM, wait_until


class Nodes:
    """A cluster with a head that offers no CPU, as in the cloud."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        port, dashboard = _free_port(), _free_port()
        self.jobs = f"http://127.0.0.1:{dashboard}"
        self.head = self._start(
            "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=true",
            f"--dashboard-port={dashboard}", f"--ray-client-server-port={_free_port()}",
        )  # fmt: skip
        self.address = self.head.address
        self._state = GlobalState()
        self._state._initialize_global_state(
            GcsClientOptions.create(
                self.address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
            )
        )

    def add(self) -> raylet.Raylet:
        """Start a node with one CPU."""
        return self._start(f"--address={self.address}", "--num-cpus=1")

    def draining(self) -> dict[str, int]:
        """The nodes that Ray drains, and until when (ms since 1970)."""
        return dict(self._state.get_draining_nodes())

    def drained(self, node: raylet.Raylet) -> str | None:
        """The message with which a node was drained, once it has ended for that reason."""
        (entry,) = [e for e in self._state.node_table() if e["NodeID"] == node.node_id]
        preempted = entry["DeathReason"] == NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED
        return str(entry["DeathReasonMessage"]) if preempted else None

    def end(self) -> None:
        family = [psutil.Process(p.pid) for p in self._processes if p.poll() is None]
        family += [child for root in family for child in root.children(recursive=True)]
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, 10)

    def _start(self, *options: str) -> raylet.Raylet:
        number = len(self._processes)
        log = self._folder / f"{number}.log"
        # A folder of its own for each node, short enough for the path of a Unix socket.
        command = [
            str(Path(sys.executable).with_name("ray")), "start", *options, "--block",
            f"--temp-dir={self._folder / str(number)}", "--object-store-memory=100000000",
            "--disable-usage-stats",
        ]  # fmt: skip
        with log.open("w") as out:
            environment = os.environ | {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        self._processes.append(process)

        def new() -> raylet.Raylet | None:
            assert process.poll() is None, log.read_text()
            mine = psutil.Process(process.pid).children(recursive=True)
            return next((n for n in raylet.here() if n.pid in [p.pid for p in mine]), None)

        node: raylet.Raylet = wait_until(new)
        head = GcsClient(address=node.address)
        wait_until(lambda: head.check_alive([NodeID.from_hex(node.node_id)], 10)[0])
        return node


@contextmanager
def nodes() -> Iterator[Nodes]:
    """A cluster with nothing but its head."""
    folder = Path(tempfile.mkdtemp(prefix="ardm-ray-"))
    cluster = Nodes(folder)
    try:
        yield cluster
    finally:
        cluster.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def agent(node: raylet.Raylet, metadata: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command `ardm node-agent` for a node, from the moment it watches.

    Args:
        node: of this machine.
        metadata: host and port of the metadata server.
        log: what the agent says.
    """
    command = [ARDM, "node-agent", f"--node-id={node.node_id}", f"--address={node.address}"]
    with log.open("w") as out:
        environment = os.environ | {"GCE_METADATA_HOST": metadata}
        process = subprocess.Popen(command, stderr=out, env=environment)
    try:
        wait_until(lambda: "watching over" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

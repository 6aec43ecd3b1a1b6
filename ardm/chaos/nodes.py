"""Ray clusters of several nodes on this machine, ended with the processes that were started.

Each node has its own raylet, temporary folder and workers, as if it were a machine; what is killed
is therefore exactly what dies with a machine.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
from ray import NodeID
from ray.exceptions import RpcError

from ardm.chaos.machine import Machine
from ardm.cluster import access, interpreter, ports, raylet
from ardm.cluster._ray import GcsClient, GcsClientOptions, GlobalState, NodeDeathInfo
from ardm.errors import JobFailed

START_PATIENCE = 120.0
"""Seconds that a node may take to join its cluster."""

OBJECT_STORE = 100_000_000
"""Bytes of a node's object store, which lies in `/dev/shm`."""

WORKER, CONTROLLER = "ray::RayTrainWorker", "ray::TrainController"
"""What Ray (2.60) calls the processes of Ray Train."""

DRIVER = "ardm.cluster.driver"

_ENVIRONMENT = {
    # A drained node is taken away at its deadline, not half a minute later.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    # Ray lets workers yield to everybody else; machines of their own have nobody else.
    "RAY_worker_niceness": "0",
}

T = TypeVar("T")


class Nodes:
    """A cluster with a head that offers no CPU, as in the cloud.

    Args:
        folder: for logs and Ray's own files; short, since paths of sockets lie below it.
        environment: variables of all its processes.
        machine: what each node but the head gets for itself.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        machine: Machine | None = None,
    ) -> None:
        self._folder = folder
        self._ray = interpreter.ray(folder)
        self.machine = machine or Machine(folder)
        self._environment = dict(environment or {})
        self._processes: list[subprocess.Popen[bytes]] = []
        self._parents: dict[str, subprocess.Popen[bytes]] = {}
        self.nodes: list[raylet.Raylet] = []
        """Those that were added and not killed, the oldest first; the head is none of them."""
        try:
            self._start_head()
        except BaseException:
            self.end()
            raise

    def _start_head(self) -> None:
        port, dashboard, agent = ports.free_ports(0, 0, 0)
        self.jobs = f"http://127.0.0.1:{dashboard}"
        """The address of the job server."""
        self.head = self._start(
            "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=true",
            f"--dashboard-host={access.ADDRESS}", f"--dashboard-port={dashboard}",
            agent=agent,
        )  # fmt: skip
        self.address = self.head.address
        self._state = GlobalState()
        self._state._initialize_global_state(
            GcsClientOptions.create(
                self.address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
            )
        )

    def replace_all(self, count: int) -> None:
        """Kill the head and every node, and start another cluster with so many nodes."""
        self.end()
        self.nodes.clear()
        self._start_head()
        for _ in range(count):
            self.add()

    def add(self) -> raylet.Raylet:
        """Start a node with one CPU."""
        (agent,) = ports.free_ports(0)
        node = self._start(f"--address={self.address}", "--num-cpus=1", agent=agent)
        self.nodes.append(node)
        return node

    def kill(self, node: raylet.Raylet) -> None:
        """End a node and all that runs on it, as when its machine is gone; nobody is told."""
        if node in self.nodes:
            self.nodes.remove(node)
        _kill(family(self._parents[node.node_id].pid))

    def number(self, node: raylet.Raylet) -> int:
        """The number by which the node's machine is known."""
        return self._processes.index(self._parents[node.node_id])

    def processes(self, name: str, node: raylet.Raylet | None = None) -> list[psutil.Process]:
        """Processes of a node, or of the whole cluster, whose command line begins with a name."""
        roots = [node] if node else [self.head, *self.nodes]
        return [
            process
            for root in roots
            for process in family(root.pid)
            if _command(process).startswith(name)
        ]

    def drivers(self) -> list[psutil.Process]:
        """The Python processes of the drivers of jobs."""
        inside = [p for root in [self.head, *self.nodes] for p in family(root.pid)]
        return [p for p in inside if f"-m {DRIVER} " in _command(p) and "python" in p.name()]

    def draining(self) -> dict[str, int]:
        """The nodes that Ray drains, and until when (ms since 1970)."""
        return dict(self._state.get_draining_nodes())

    def drained(self, node: raylet.Raylet) -> str | None:
        """The message with which a node was drained, once it has ended for that reason."""
        (entry,) = [e for e in self._state.node_table() if e["NodeID"] == node.node_id]
        preempted = entry["DeathReason"] == NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED
        return str(entry["DeathReasonMessage"]) if preempted else None

    def copy_logs(self, to: Path) -> None:
        """Copy what the nodes and Ray said, by the number of the node."""
        for log in sorted(self._folder.glob("*.log")):
            folder = self._folder / log.stem / "session_latest" / "logs"
            if folder.is_dir():
                shutil.copytree(folder, to / log.stem, dirs_exist_ok=True)
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, to)

    def end(self) -> None:
        """End every process that belongs to the cluster."""
        roots = [process.pid for process in self._processes if process.poll() is None]
        _kill([member for root in roots for member in family(root)])

    def _start(self, *options: str, agent: int) -> raylet.Raylet:
        number = len(self._processes)
        log = self._folder / f"{number}.log"
        # A folder of its own for each node, short enough for the path of a Unix socket.
        command = [
            *self._ray, "start", *options, "--block",
            "--num-gpus=0",
            f"--temp-dir={self._folder / str(number)}", f"--object-store-memory={OBJECT_STORE}",
            # Its usual port may belong to another Ray, and then no job would start.
            f"--dashboard-agent-listen-port={agent}", "--disable-usage-stats",
        ]  # fmt: skip
        environment = self._environment
        if "--head" not in options:
            command = self.machine.command(number, command)
            environment = environment | self.machine.environment(number)
        with log.open("w") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ
                | _ENVIRONMENT
                | access.ENVIRONMENT
                | access.settings()
                | environment,
                # Ctrl-C is for those who end the nodes, in their order.
                start_new_session=True,
            )
        self._processes.append(process)

        def new() -> raylet.Raylet | None:
            if process.poll() is not None:
                raise JobFailed(f"a Ray node did not start:\n{log.read_text()}")
            mine = [member.pid for member in family(process.pid)]
            return next((n for n in raylet.here() if n.pid in mine), None)

        node = wait_until(new, START_PATIENCE, "a Ray node to start")
        self._parents[node.node_id] = process
        head = GcsClient(address=node.address)
        alive = [NodeID.from_hex(node.node_id)]

        def joined() -> bool:
            try:
                return bool(head.check_alive(alive, 10)[0])
            except RpcError:
                return False  # on a busy machine the head takes its time

        wait_until(joined, START_PATIENCE, "a Ray node to join")
        return node


@contextmanager
def nodes(
    environment: Mapping[str, str] | None = None, *, clocks: bool = False, rooms: bool = False
) -> Iterator[Nodes]:
    """A cluster with nothing but its head, on the loopback interface.

    It asks for the token of the local Ray, which this process and those it starts send meanwhile.

    Args:
        environment: variables of all its processes.
        clocks: whether the clock of a node can be stepped.
        rooms: whether the temporary folder and `/dev/shm` of a node can be filled.
    """
    folder = Path(tempfile.mkdtemp(prefix="ardm-ray-"))
    try:
        machine = Machine(folder, clocks, rooms, OBJECT_STORE)
        with access.in_this_process():
            cluster = Nodes(folder, environment, machine)
            try:
                yield cluster
            finally:
                cluster.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it; empty if it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end_marked(name: str, value: str) -> None:
    """End every process that was started with a variable of this value in its environment.

    What a killed parent leaves behind belongs to nobody's family any more.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(name) == value:
                found.append(process)
        except psutil.Error:
            continue
    _kill(found)


def wait_until(true: Callable[[], T | None], patience: float, what: str, every: float = 0.2) -> T:
    """Wait for something to become true; its value.

    Raises:
        JobFailed: it does not within `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while not (value := true()):
        if time.monotonic() > deadline:
            raise JobFailed(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(every)
    return value


def _kill(processes: Iterable[psutil.Process]) -> None:
    found = list(processes)
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(found, 10)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""

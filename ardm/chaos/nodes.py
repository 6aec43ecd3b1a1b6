"""Ray clusters of several nodes on this machine.

Each node has its own raylet, temporary folder and workers, as if it were a machine. Killing a node
therefore ends exactly the processes that end with a machine.
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
"""A node that takes longer to join its cluster is an error (seconds)."""

OBJECT_STORE = 100_000_000
"""Size of a node's object store, which lies in `/dev/shm` (bytes)."""

WORKER, CONTROLLER = "ray::RayTrainWorker", "ray::TrainController"
"""The names that Ray (2.60) gives to the processes of Ray Train."""

DRIVER = "ardm.cluster.driver"

_ENVIRONMENT = {
    # A drained node is removed at its deadline, not half a minute later.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    # By default Ray lowers the priority of workers. On a machine of their own that has no effect;
    # here it would slow down those of one node in favor of the processes of others.
    "RAY_worker_niceness": "0",
}

T = TypeVar("T")


class Nodes:
    """A cluster with a head that offers no CPU, as in the cloud.

    Args:
        folder: directory for logs and Ray's files. Its path must be short, because the length of
            the paths of Unix sockets below it is limited.
        environment: environment variables of all processes of the cluster.
        machine: the private file systems and clocks of all nodes except the head.
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
        """The nodes that were added and not killed, the oldest first; without the head."""
        try:
            self._start_head()
        except BaseException:
            self.end()
            raise

    def _start_head(self) -> None:
        port, dashboard, agent = ports.free_ports(0, 0, 0)
        self.jobs = f"http://127.0.0.1:{dashboard}"
        """The address of the job server."""
        self.head = self.start(
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
        """Kill the head and every node, and start another cluster with `count` nodes."""
        self.end()
        self.nodes.clear()
        self._start_head()
        for _ in range(count):
            self.add()

    def add(self) -> raylet.Raylet:
        """Start a node with one CPU."""
        (agent,) = ports.free_ports(0)
        node = self.start(f"--address={self.address}", "--num-cpus=1", agent=agent)
        self.nodes.append(node)
        return node

    def kill(self, node: raylet.Raylet) -> None:
        """Kill a node and all of its processes without notice, as when its machine is gone."""
        if node in self.nodes:
            self.nodes.remove(node)
        _kill(family(self._parents[node.node_id].pid))

    def number(self, node: raylet.Raylet) -> int:
        """The number by which `Machine` identifies the node."""
        return self._processes.index(self._parents[node.node_id])

    def processes(self, name: str, node: raylet.Raylet | None = None) -> list[psutil.Process]:
        """Processes of a node, or of the whole cluster, whose command line begins with `name`."""
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

    def drained(self, node: raylet.Raylet) -> str | None:
        """The message with which a node was drained; None if it did not end because of a drain."""
        (entry,) = [e for e in self._state.node_table() if e["NodeID"] == node.node_id]
        preempted = entry["DeathReason"] == NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED
        return str(entry["DeathReasonMessage"]) if preempted else None

    def copy_logs(self, to: Path) -> None:
        """Copy the output of the nodes and the logs of Ray, one directory per node number."""
        for log in sorted(self._folder.glob("*.log")):
            folder = self._folder / log.stem / "session_latest" / "logs"
            if folder.is_dir():
                shutil.copytree(folder, to / log.stem, dirs_exist_ok=True)
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, to)

    def end(self) -> None:
        """Kill every process of the cluster."""
        roots = [process.pid for process in self._processes if process.poll() is None]
        _kill([member for root in roots for member in family(root)])

    def start(self, *options: str, agent: int) -> raylet.Raylet:
        """Start a node by `ray start`, and wait until it has joined.

        Args:
            options: of `ray start`; `--head` among them for the head.
            agent: the port at which the node takes jobs.

        Raises:
            JobFailed: it does not start, or does not join.
        """
        number = len(self._processes)
        log = self._folder / f"{number}.log"
        command = [
            *self._ray, "start", *options, "--block",
            "--num-gpus=0",
            f"--temp-dir={self._folder / str(number)}", f"--object-store-memory={OBJECT_STORE}",
            # The default port may belong to another Ray, and then no job would start.
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
                # Ctrl-C must reach only this process, which ends the nodes in the right order.
                start_new_session=True,
            )
        self._processes.append(process)

        def started() -> raylet.Raylet | None:
            if process.poll() is not None:
                raise JobFailed(f"a Ray node did not start:\n{log.read_text()}")
            pids = [member.pid for member in family(process.pid)]
            return next((n for n in raylet.here() if n.pid in pids), None)

        node = wait_until(started, START_PATIENCE, "a Ray node to start")
        self._parents[node.node_id] = process
        head = GcsClient(address=node.address)
        alive = [NodeID.from_hex(node.node_id)]

        def joined() -> bool:
            try:
                return bool(head.check_alive(alive, 10)[0])
            except RpcError:
                return False  # on a busy machine the head may not answer in time

        wait_until(joined, START_PATIENCE, "a Ray node to join")
        return node


@contextmanager
def nodes(
    environment: Mapping[str, str] | None = None, *, clocks: bool = False, filesystems: bool = False
) -> Iterator[Nodes]:
    """Start a cluster that consists of its head alone, on the loopback interface.

    The cluster requires the token of the local Ray. While the block runs, this process and the
    processes that it starts send that token.

    Args:
        environment: environment variables of all processes of the cluster.
        clocks: whether the clock of a node can be stepped.
        filesystems: whether the temporary folder and `/dev/shm` of a node can be filled.
    """
    folder = Path(tempfile.mkdtemp(prefix="ardm-ray-"))
    try:
        machine = Machine(folder, clocks, filesystems, OBJECT_STORE)
        with access.in_this_process():
            cluster = Nodes(folder, environment, machine)
            try:
                yield cluster
            finally:
                cluster.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def family(pid: int) -> list[psutil.Process]:
    """A process and all of its descendants; empty if the process is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end_marked(name: str, value: str) -> None:
    """Kill every process whose environment has this variable with this value.

    This also finds the orphans of killed processes, which `family` does not.
    """
    marked = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(name) == value:
                marked.append(process)
        except psutil.Error:
            continue
    _kill(marked)


def wait_until(true: Callable[[], T | None], patience: float, what: str, every: float = 0.2) -> T:
    """Poll until `true` returns a true value, and return that value.

    Raises:
        JobFailed: there was no true value within `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while not (value := true()):
        if time.monotonic() > deadline:
            raise JobFailed(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(every)
    return value


def _kill(processes: Iterable[psutil.Process]) -> None:
    killed = list(processes)
    for process in killed:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(killed, 10)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""

"""The local Ray: started on this machine at the first submission, stopped by `ardm down`.

It listens on the loopback interface only, and asks for a token that only this user can read.
"""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ardm.cluster import access, interpreter, shell_variables
from ardm.cluster.ports import answers, free_ports, is_here, is_taken, ports_of
from ardm.errors import JobFailed
from ardm.store.home import home
from ardm.training.devices import cores_here

PORT = 8265
"""Ray's usual port for its dashboard and job server."""

START_PATIENCE = 60.0
"""Seconds that a local Ray may take to start."""

STOP_PATIENCE = 15.0
"""Seconds that its processes may take to end before they are killed."""

TRIES = 4
"""The local Ray is started at most this many times, on different ports."""

LONGEST_FOLDER = 36
"""Longest path of Ray's folder (characters): Ray puts sockets below it, whose paths are limited to
107 characters."""

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    # Prestarted processes are for jobs without a runtime environment; each of ours has one.
    "RAY_prestart_worker_first_driver": "0",
    # Seconds that `ray job stop` waits for the driver, which waits for the workers' save.
    "RAY_JOB_STOP_WAIT_TIME_S": "25",
}

ELSEWHERE = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
"""Environment variables whose address Ray's clients (2.60) prefer to the one they are given."""

Ports = Callable[..., list[int]]


@dataclass(frozen=True)
class LocalRay:
    """A local Ray that ardm started."""

    address: str
    """Address of its job server."""
    pid: int
    """Process id of `ray start --block`, which ends all of Ray's processes when it is ended."""
    created: float
    """Start time of that process, since the system may give its pid to another one."""
    folder: str = ""
    """Folder of its sockets and logs, which only this user may enter; empty if an older ardm
    started it."""


def find() -> str | None:
    """The address of the job server that `start` started, if it answers."""
    running = ours()
    if running is None or not running.folder:
        return None
    # Another process that listens on this port by now must not get the token.
    if urllib.parse.urlsplit(running.address).port not in ports_of(running.pid):
        return None
    return running.address if answers(running.address, access.headers()) else None


def start(cpus: int | None = None, ports: Ports | None = None) -> str:
    """Start a local Ray and wait until its job server answers.

    Args:
        cpus: number of CPUs that it offers; default: those of the machine.
        ports: returns as many free ports as it is given preferred ones; default: `free_ports`.

    Returns:
        The address of the job server, or of one that another process has started meanwhile.

    Raises:
        JobFailed: the local Ray does not start; the message has the end of its log.
    """
    home().mkdir(parents=True, exist_ok=True)
    with _one_at_a_time():
        if address := find():
            return address
        stop()
        # Another Ray may take a port between our choice and its use. If two heads choose the same
        # port, Ray (2.60) fails in several ways, so any failure is worth another try.
        preferred = (PORT, 6379, 52365)
        for _ in range(TRIES):
            running = _start(cpus, (ports or free_ports)(*preferred))
            if running is not None:
                return running.address
            preferred = (0, 0, 0)
    log = home() / "ray.log"
    tail = "\n".join(log.read_text().splitlines()[-15:])
    raise JobFailed(f"the local Ray did not start; the end of {log}:\n{tail}")


def _start(cpus: int | None, ports: list[int]) -> LocalRay | None:
    """Start a head node; None if its job server does not answer, in which case it is ended."""
    port, head, agent = ports
    folder = _new_folder()
    command = [
        *interpreter.ray(folder), "start", "--head", "--block", f"--temp-dir={folder / 'r'}",
        f"--port={head}", f"--dashboard-host={access.ADDRESS}", f"--dashboard-port={port}",
        # The agent starts jobs; where another Ray has its default port, no job would start.
        f"--dashboard-agent-listen-port={agent}",
        f"--num-cpus={cpus or max(cores_here(), 2)}", "--disable-usage-stats",
    ]  # fmt: skip
    with (home() / "ray.log").open("w") as out:
        process = psutil.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=variables(os.environ),
        )
    address = f"http://{access.ADDRESS}:{port}"
    started = LocalRay(address, process.pid, process.create_time(), str(folder))
    _state_file().write_text(json.dumps(asdict(started)))
    if not _comes_up(process, ports) or not answers(address, access.headers()):
        stop()
        return None
    _start_node_agent(head)
    return started


def _comes_up(process: psutil.Popen, ports: Sequence[int]) -> bool:
    """Wait until a Ray listens on its ports; false if it ends, or if another process has one."""
    listening: set[int] = set()
    deadline = time.monotonic() + START_PATIENCE
    while not listening.issuperset(ports):
        if process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.1)
        taken = {port for port in ports if port not in listening and is_taken(port)}
        if taken:
            listening |= ports_of(process.pid)
            if not taken <= listening:
                return False
    return True


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a local Ray, without secrets: each job gets those from its submission.

    Args:
        environ: environment variables of the process that starts it.
    """
    secret = shell_variables.private(environ)
    kept = {name: value for name, value in environ.items() if name not in {*secret, *ELSEWHERE}}
    return kept | _ENVIRONMENT | access.ENVIRONMENT | access.settings()


def stop() -> LocalRay | None:
    """End the Ray that `start` started, and no other process; its folder is removed.

    Returns:
        The local Ray that was ended; None if none was running.
    """
    running, recorded = ours(), _recorded()
    _state_file().unlink(missing_ok=True)
    if running is not None:
        root = psutil.Process(running.pid)
        processes = [root, *root.children(recursive=True)]
        root.terminate()
        _, alive = psutil.wait_procs(processes, STOP_PATIENCE)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, STOP_PATIENCE)
    if recorded is not None and recorded.folder:
        shutil.rmtree(recorded.folder, ignore_errors=True)
    return running


def is_ours(address: str) -> bool:
    """Whether an address is that of the job server that `start` started."""
    running = ours()
    if running is None or not running.folder or not is_here(address):
        return False
    return urllib.parse.urlsplit(address).port == urllib.parse.urlsplit(running.address).port


def _new_folder() -> Path:
    """A new folder that only this user may enter; Ray makes those below it open to everybody."""
    for base in (tempfile.gettempdir(), "/tmp"):
        folder = Path(tempfile.mkdtemp(prefix="ardm-", dir=base))
        if len(str(folder / "r")) <= LONGEST_FOLDER:
            return folder
        folder.rmdir()
    raise JobFailed(f"no folder with a path of {LONGEST_FOLDER} characters for Ray's sockets")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the lock under which one process at a time starts a Ray with this `ARDM_HOME`."""
    with (home() / "ray.lock").open("w") as lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start_node_agent(head: int) -> None:
    """Start a node agent, in case this is a spot machine; it ends when the local Ray has ended."""
    with (home() / "node-agent.log").open("w") as out:
        subprocess.Popen(
            [interpreter.script("ardm"), "node-agent", f"--address={access.ADDRESS}:{head}"],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=variables(os.environ),
        )


def ours() -> LocalRay | None:
    """The local Ray that `start` started, if its first process is alive."""
    if (recorded := _recorded()) is None:
        return None
    try:
        process = psutil.Process(recorded.pid)
        same = abs(process.create_time() - recorded.created) < 1.0
        return recorded if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _recorded() -> LocalRay | None:
    """The local Ray that was started last, as recorded in the state file."""
    try:
        return LocalRay(**json.loads(_state_file().read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _state_file() -> Path:
    return home() / "ray.json"

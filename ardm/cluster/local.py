"""A Ray of our own on this machine: started when there is no other, stopped by `ardm down`."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ardm.errors import JobFailed

PORT = 8265
"""Ray's usual port for its dashboard and job server."""

START_PATIENCE = 60.0
STOP_PATIENCE = 15.0

_ENVIRONMENT = {
    # Where somebody once ran `ray.init()`, Ray (2.60) has left a token and asks for it from then
    # on; its clients do not send it. This Ray is for this machine alone.
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    # Python processes for jobs without a runtime environment; each of ours has one.
    "RAY_prestart_worker_first_driver": "0",
    # `ray job stop` waits so long for the driver, which lets the workers save.
    "RAY_JOB_STOP_WAIT_TIME_S": "25",
}


@dataclass(frozen=True)
class LocalRay:
    """A local Ray that we started."""

    address: str
    """Of its job server."""
    pid: int
    """Of `ray start --block`, which ends all its processes when it is ended."""
    created: float
    """When that process began: a pid alone may have passed to another."""


def home() -> Path:
    """Where this machine's ardm keeps its own small files (`ARDM_HOME`, default ~/.cache/ardm)."""
    return Path(os.environ.get("ARDM_HOME", "~/.cache/ardm")).expanduser()


def find() -> str | None:
    """The address of the local job server in use: ours, or another one at Ray's usual port."""
    if address := find_ours():
        return address
    usual = f"http://127.0.0.1:{PORT}"
    return usual if answers(usual) else None


def find_ours() -> str | None:
    """The address of the job server that `start` started, if it answers."""
    running = ours()
    return running.address if running and answers(running.address) else None


def start(cpus: int | None = None) -> str:
    """Start a head node and wait until its job server answers.

    Args:
        cpus: CPUs that it offers; by default those of the machine.

    Returns:
        The address of its job server.

    Raises:
        JobFailed: it does not come up; the message has the end of its log.
    """
    home().mkdir(parents=True, exist_ok=True)
    port, head, agent = free_ports(PORT, 6379, 52365)
    log = home() / "ray.log"
    command = [
        _script("ray"), "start", "--head", "--block",
        f"--port={head}", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}",
        # The agent takes jobs; beside another Ray its usual port is taken, and no job starts.
        f"--dashboard-agent-listen-port={agent}",
        f"--num-cpus={cpus or max(os.cpu_count() or 1, 2)}", "--disable-usage-stats",
    ]  # fmt: skip
    with log.open("w") as out:
        process = psutil.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | _ENVIRONMENT,
        )
    started = LocalRay(f"http://127.0.0.1:{port}", process.pid, process.create_time())
    _state_file().write_text(json.dumps(asdict(started)))
    deadline = time.monotonic() + START_PATIENCE
    while not answers(started.address):
        if process.poll() is not None or time.monotonic() > deadline:
            stop()
            tail = "\n".join(log.read_text().splitlines()[-15:])
            raise JobFailed(f"the local Ray did not start; the end of {log}:\n{tail}")
        time.sleep(0.2)
    _start_node_agent(head)
    return started.address


def stop() -> LocalRay | None:
    """End the Ray that `start` started, and no other process.

    Returns:
        What was ended; None if none of ours runs.
    """
    running = ours()
    _state_file().unlink(missing_ok=True)
    if running is None:
        return None
    root = psutil.Process(running.pid)
    family = [root, *root.children(recursive=True)]
    root.terminate()
    _, alive = psutil.wait_procs(family, STOP_PATIENCE)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, STOP_PATIENCE)
    return running


def is_here(address: str) -> bool:
    """Whether an address is of this machine."""
    return urllib.parse.urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")


def answers(address: str) -> bool:
    """Whether a job server is there."""
    try:
        with urllib.request.urlopen(f"{address}/api/version", timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _start_node_agent(head: int) -> None:
    """Beside our Ray, should this be a spot machine; it ends by itself when that Ray has ended."""
    with (home() / "node-agent.log").open("w") as out:
        subprocess.Popen(
            [_script("ardm"), "node-agent", f"--address=127.0.0.1:{head}"],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def _script(name: str) -> str:
    """A command that was installed with this Python."""
    return str(Path(sys.executable).with_name(name))


def ours() -> LocalRay | None:
    """The local Ray that `start` started, if its first process lives."""
    try:
        noted = LocalRay(**json.loads(_state_file().read_text()))
        process = psutil.Process(noted.pid)
    except (FileNotFoundError, ValueError, TypeError, psutil.NoSuchProcess):
        return None
    same = abs(process.create_time() - noted.created) < 1.0
    return noted if same and process.status() != psutil.STATUS_ZOMBIE else None


def _state_file() -> Path:
    return home() / "ray.json"


def free_ports(*wanted: int) -> list[int]:
    """The ports wanted, or any other free ones; no two of them the same."""
    with ExitStack() as held:
        return [int(held.enter_context(_bound(port)).getsockname()[1]) for port in wanted]


def _bound(wanted: int) -> socket.socket:
    for port in (wanted, 0):
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
            continue
        return probe
    raise JobFailed("no free port on this machine")

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
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ardm.errors import JobFailed

PORT = 8265
"""Ray's usual port for its dashboard and job server."""

START_PATIENCE = 60.0
STOP_PATIENCE = 15.0

# A worker group that cannot be placed or has lost a worker is dealt with in seconds, not minutes.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
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
    ours = _ours()
    if ours and answers(ours.address):
        return ours.address
    usual = f"http://127.0.0.1:{PORT}"
    return usual if answers(usual) else None


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
    port = _free(PORT)
    log = home() / "ray.log"
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
        f"--port={_free(6379)}", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}",
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
    ours = LocalRay(f"http://127.0.0.1:{port}", process.pid, process.create_time())
    _state_file().write_text(json.dumps(asdict(ours)))
    deadline = time.monotonic() + START_PATIENCE
    while not answers(ours.address):
        if process.poll() is not None or time.monotonic() > deadline:
            stop()
            tail = "\n".join(log.read_text().splitlines()[-15:])
            raise JobFailed(f"the local Ray did not start; the end of {log}:\n{tail}")
        time.sleep(0.2)
    return ours.address


def stop() -> LocalRay | None:
    """End the Ray that `start` started, and no other process.

    Returns:
        What was ended; None if none of ours runs.
    """
    ours = _ours()
    _state_file().unlink(missing_ok=True)
    if ours is None:
        return None
    root = psutil.Process(ours.pid)
    family = [root, *root.children(recursive=True)]
    root.terminate()
    _, alive = psutil.wait_procs(family, STOP_PATIENCE)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, STOP_PATIENCE)
    return ours


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


def _ours() -> LocalRay | None:
    try:
        ours = LocalRay(**json.loads(_state_file().read_text()))
        process = psutil.Process(ours.pid)
    except (FileNotFoundError, ValueError, TypeError, psutil.NoSuchProcess):
        return None
    same = abs(process.create_time() - ours.created) < 1.0
    return ours if same and process.status() != psutil.STATUS_ZOMBIE else None


def _state_file() -> Path:
    return home() / "ray.json"


def _free(wanted: int) -> int:
    """The port wanted, or any other free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise JobFailed("no free port on this machine")

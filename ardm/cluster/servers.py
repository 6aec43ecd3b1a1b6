"""The job server of a job: on this machine, or of a cluster that `ray up` started."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import yaml

from ardm.cluster import interpreter, local
from ardm.cluster.submission import JobServer, named
from ardm.errors import InputError, JobFailed

TUNNEL_PATIENCE = 90.0
"""Seconds that a tunnel may take to lead to an answer."""

END_PATIENCE = 10.0
"""Seconds that its processes may take to end."""


@contextmanager
def tunnel(cluster: Path, clock: Callable[[], float] = time.monotonic) -> Iterator[str]:
    """Forward a local port to the cluster's job server while the block runs.

    Args:
        cluster: the cluster launcher's file.
        clock: monotonic seconds.

    Yields:
        The address of the job server on this machine.

    Raises:
        JobFailed: the cluster cannot be reached; the message has Ray's own words.
    """
    (port,) = local.free_ports(0)
    address = f"http://127.0.0.1:{port}"
    ray = interpreter.script("ray")
    command = [ray, "dashboard", str(cluster), f"--port={port}", "--remote-port=8265"]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            deadline = clock() + TUNNEL_PATIENCE
            while not local.answers(address):
                if process.poll() is not None or clock() > deadline:
                    said.seek(0)
                    tail = "\n".join(said.read().splitlines()[-10:])
                    raise JobFailed(
                        f"the cluster of {cluster} cannot be reached; `make cluster-up` starts it. "
                        f"`ray dashboard` says:\n{tail}"
                    )
                time.sleep(0.5)
            yield address
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End `ray dashboard` and its ssh, which would stay and keep the port and the connection."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    for member in psutil.wait_procs(family, END_PATIENCE)[1]:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def has_gpus(cluster: Path) -> bool:
    """Whether the cluster can start nodes with GPUs.

    Raises:
        InputError: the file cannot be read, or is no cluster file.
    """
    try:
        types = yaml.safe_load(cluster.read_text(encoding="utf-8"))["available_node_types"]
        return any(kind.get("resources", {}).get("GPU", 0) for kind in types.values())
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{cluster}: expected a file of Ray's cluster launcher with available_node_types, such "
            f"as cluster.yaml ({type(error).__name__}: {error})"
        ) from error


@contextmanager
def job_server(
    address: str | None, cluster: Path | None, report: Callable[[str], None]
) -> Iterator[JobServer]:
    """The job server that was named, or that of the local Ray, which is started if none runs."""
    if cluster:
        with tunnel(cluster) as target:
            yield JobServer(target, here=False)
        return
    if found := named(address):
        yield found
        return
    running = local.find()
    if running is None:
        report("starting a local Ray (`make down` stops it)")
        running = local.start()
    yield JobServer(running, here=True)

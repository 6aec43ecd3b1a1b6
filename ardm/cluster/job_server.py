"""Ray's job server: the local one, one at an address, or that of a cluster that `ray up` made."""

import hashlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from ardm.cluster import access, interpreter, local, ports, shell_variables
from ardm.errors import InputError, JobFailed
from ardm.secrecy import has_credentials

TUNNEL_PATIENCE = 90.0
"""Seconds until the job server must answer through a new tunnel."""

END_PATIENCE = 10.0
"""Seconds that the processes of a tunnel may take to end."""


@dataclass(frozen=True)
class JobServer:
    """A job server of Ray.

    Attributes:
        address: the server's address, `http://host:port`.
        here: whether its cluster is this machine, with this Python and these files.
    """

    address: str
    here: bool


def named(address: str | None) -> JobServer | None:
    """The job server at an address; None if the address stands for a local Ray.

    Args:
        address: the address, in the form of RAY_ADDRESS.

    Raises:
        InputError: the address is not that of a job server.
    """
    if not address or address == "local":
        return None
    is_url = re.match(r"[a-z]+://[^/]", address)
    if not is_url or address.startswith("ray://"):
        what = "of Ray's client server" if address.startswith("ray") else "of no job server"
        host = address.partition("://")[2] or address
        host = host.partition(":")[0] if ":" in host else "host"
        raise InputError(
            f"Ray address {address!r} is that {what}; expected one such as http://{host}:8265 "
            "(ADDRESS=, --address or RAY_ADDRESS), or none for a local Ray"
        )
    if has_credentials(address):
        raise InputError(
            f"Ray address {address!r} holds credentials, and would be kept in files; give the "
            "address alone, and set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        )
    return JobServer(address, here=ports.is_here(address))


@contextmanager
def job_server(
    address: str | None, cluster: Path | None, report: Callable[[str], None]
) -> Iterator[JobServer]:
    """The given job server, or that of the local Ray, which is started if none runs."""
    if cluster:
        with tunnel(cluster) as tunnel_address:
            yield JobServer(tunnel_address, here=False)
        return
    if server := named(address):
        yield server
        return
    running = local.find()
    if running is None:
        report("starting a local Ray (`make down` stops it)")
        running = local.start()
    yield JobServer(running, here=True)


@contextmanager
def tunnel(cluster: Path, clock: Callable[[], float] = time.monotonic) -> Iterator[str]:
    """Forward a local port to the cluster's job server while the block runs.

    Args:
        cluster: path of the cluster launcher's file.
        clock: returns monotonic seconds.

    Yields:
        The address at which this machine reaches the job server.

    Raises:
        JobFailed: the cluster cannot be reached; the message has the output of `ray dashboard`.
    """
    (port,) = ports.free_ports(0)
    address = f"http://127.0.0.1:{port}"
    ray = interpreter.script("ray")
    command = [ray, "dashboard", str(cluster), f"--port={port}", "--remote-port=8265"]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            deadline = clock() + TUNNEL_PATIENCE
            while not ports.answers(address):
                if process.poll() is not None or clock() > deadline:
                    output.seek(0)
                    tail = "\n".join(output.read().splitlines()[-10:])
                    raise JobFailed(
                        f"the cluster of {cluster} cannot be reached; `make cluster-up` starts it. "
                        f"`ray dashboard` says:\n{tail}"
                    )
                time.sleep(0.5)
            yield address
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End `ray dashboard` and its ssh, which would otherwise keep the port and the connection."""
    processes: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        processes = [root, *root.children(recursive=True)]
    for member in processes:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    for member in psutil.wait_procs(processes, END_PATIENCE)[1]:
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
def connected(address: str, local_ray: str | None = None) -> Iterator[JobSubmissionClient]:
    """A client of a job server, whose connection errors in the block become errors for the user.

    Args:
        address: address of the job server.
        local_ray: `Submission.local_ray`, if the block asks about a submission.

    Raises:
        InputError: the server does not answer or asks for a token, or the submission's Ray is gone.
    """

    def unreachable(error: Exception) -> InputError:
        return InputError(
            f"no Ray job server answers at {address} ({error}); give the address of a running one "
            "with ADDRESS=http://host:8265 (--address), or none for a local Ray"
        )

    ours = local.is_ours(address)
    if local_ray is not None and not (ours and local_ray == own_ray()):
        raise InputError(f"the local Ray that was at {address} has ended, or is another machine's")
    here = clear_path() if ports.is_here(address) else dict.fromkeys(local.ELSEWHERE, "")
    with shell_variables.during(here):
        try:
            # To other servers Ray's client sends the user's own token, set by RAY_AUTH_MODE etc.
            client = JobSubmissionClient(address, headers=access.headers() if ours else None)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise unreachable(error) from error
        except AuthenticationError as error:
            raise _refused(address, error) from error
        try:
            yield client
        except AuthenticationError as error:
            raise _refused(address, error) from error
        except OSError as error:  # all errors of `requests` are OSErrors
            raise unreachable(error) from error


def clear_path() -> dict[str, str]:
    """Environment variables with which Ray's clients use the given address and no proxy."""
    return dict.fromkeys(local.ELSEWHERE, "") | access.past_proxies(os.environ)


def own_ray() -> str:
    """An id of this user's local Rays: a digest of their token, which does not reveal it."""
    return hashlib.sha256(access.token_file().read_bytes()).hexdigest()[:12]


def _refused(address: str, error: AuthenticationError) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(
        f"the Ray job server at {address} asks for a token ({reason}); set RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN_PATH to a file with the token of that cluster"
    )

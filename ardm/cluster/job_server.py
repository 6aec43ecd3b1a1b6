"""The job server of a job: on this machine, or of a cluster that `ray up` started."""

import hashlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from ardm.cluster import access, interpreter, local, ports
from ardm.errors import InputError, JobFailed

TUNNEL_PATIENCE = 90.0
"""Seconds that a cluster may take to be reached."""


@dataclass(frozen=True)
class JobServer:
    """Where jobs can be submitted.

    Attributes:
        address: `http://host:port`.
        here: whether its cluster is this machine, with this Python and these files.
    """

    address: str
    here: bool


def named(address: str | None) -> JobServer | None:
    """The job server that an address names; None if it asks for a local Ray.

    Args:
        address: as it is given in RAY_ADDRESS.

    Raises:
        InputError: it is the address of something else.
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
    return JobServer(address, here=ports.is_here(address))


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


@contextmanager
def tunnel(cluster: Path) -> Iterator[str]:
    """Forward a local port to the cluster's job server while the block runs.

    Args:
        cluster: the cluster launcher's file.

    Yields:
        The address of the job server on this machine.

    Raises:
        JobFailed: the cluster cannot be reached; the message has Ray's own words.
    """
    (port,) = ports.free_ports(0)
    address = f"http://127.0.0.1:{port}"
    ray = interpreter.script("ray")
    command = [ray, "dashboard", str(cluster), f"--port={port}", "--remote-port=8265"]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + TUNNEL_PATIENCE
            while not ports.answers(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    tail = "\n".join(said.read().splitlines()[-10:])
                    raise JobFailed(
                        f"the cluster of {cluster} cannot be reached; `make cluster-up` starts it. "
                        f"`ray dashboard` says:\n{tail}"
                    )
                time.sleep(0.5)
            yield address
        finally:
            process.terminate()
            process.wait(10)


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
    """A job server, which must answer to the end of what it is asked.

    Args:
        address: of the server.
        local_ray: of the submission, if it is about one.
    """

    def silent(error: Exception) -> InputError:
        return InputError(
            f"no Ray job server answers at {address} ({error}); give the address of a running one "
            "with ADDRESS=http://host:8265 (--address), or none for a local Ray"
        )

    ours = local.is_ours(address)
    if local_ray is not None and not (ours and local_ray == own_ray()):
        raise InputError(f"the local Ray that was at {address} has ended, or is another machine's")
    here = clear_path() if ports.is_here(address) else dict.fromkeys(local.ELSEWHERE, "")
    with _set(here):
        try:
            # To others Ray's client sends the user's own token, by RAY_AUTH_MODE and the rest.
            client = JobSubmissionClient(address, headers=access.headers() if ours else None)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise silent(error) from error
        except AuthenticationError as error:
            raise _refused(address, error) from error
        try:
            yield client
        except AuthenticationError as error:
            raise _refused(address, error) from error
        except OSError as error:  # as all errors of `requests` are
            raise silent(error) from error


def clear_path() -> dict[str, str]:
    """Variables with which Ray's clients go to the address they are given, and to no proxy."""
    return dict.fromkeys(local.ELSEWHERE, "") | access.past_proxies(os.environ)


def own_ray() -> str:
    """A name for the local Rays of this user that gives nothing away."""
    return hashlib.sha256(access.token_file().read_bytes()).hexdigest()[:12]


def _refused(address: str, error: AuthenticationError) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(
        f"the Ray job server at {address} asks for a token ({reason}); set RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN_PATH to a file with the token of that cluster"
    )


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

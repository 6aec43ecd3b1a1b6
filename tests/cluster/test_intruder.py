"""Whoever does not have the token of the local Ray runs nothing on it and learns no secret."""

import json
import os
import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from itertools import product
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from ardm.cluster import access, local
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.cluster.conftest import TINY, Ardm, running_ray, saved, train_workers, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SHELL = {
    "AWS_SECRET_ACCESS_KEY": "secret-of-aws",
    "FSSPEC_S3_SECRET": "secret-of-fsspec",
    "GOOGLE_OAUTH_ACCESS_TOKEN": "secret-of-google",
    # On the allow-list, but for the user in it; the store of this test is a directory.
    "TENSORSTORE_GCS_HTTP_URL": "http://user:secret-of-proxy@127.0.0.1:1",
    # Not on the allow-list, and seen to reach a worker: it makes JAX say what it compiles.
    "JAX_LOG_COMPILES": "1",
    # The user's own settings for another cluster, and the token of that one.
    "RAY_AUTH_MODE": "disabled",
    "RAY_AUTH_TOKEN": "secret-of-another-cluster",
    "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
}
SECRET = re.compile(rb"secret-of-[a-z]+")

PATHS = ("/", "/api/jobs/", "/api/job_agent/jobs/", "/api/v0/logs", "/metrics")

LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


@dataclass(frozen=True)
class Training:
    """A run with two workers that was submitted from a shell with secrets."""

    run: Run
    said: str
    """What `ardm submit` printed."""
    folder: Path
    """Of the sockets and logs of the local Ray."""


@pytest.fixture(scope="module")
def training(ray_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    """A run that trains."""
    running_ray()
    ours = local.ours()
    assert ours
    ardm = Ardm(str(tmp_path_factory.mktemp("secret") / "runs"))
    run = Run(Store(ardm.store), "secret")
    options = ("--workers", "2", "--set", "training.steps=1000000")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SHELL.items():
            patch.setenv(name, value)
        said = ardm("submit", str(TINY), "--run", run.name, *options).stderr
        wait_until(lambda: saved(run, 1))
        for worker in train_workers():
            worker.nice(19)  # it trains until the end of these tests, beside others
        yield Training(run, said, Path(ours.folder))
        ardm("stop", run.name)
        wait_until(lambda: not list((ray_home / "environments").iterdir()))


def family() -> list[psutil.Process]:
    """The processes of the local Ray, its workers among them."""
    ours = local.ours()
    assert ours
    root = psutil.Process(ours.pid)
    found = [root, *root.children(recursive=True)]
    assert {worker.pid for worker in train_workers()} <= {process.pid for process in found}
    return found


def listening() -> dict[int, str]:
    """The ports at which the local Ray and its workers listen, with their addresses."""
    ports = {}
    for process in family():
        with suppress(psutil.NoSuchProcess):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    ports[connection.laddr.port] = connection.laddr.ip
    return ports


def outer_addresses() -> list[str]:
    """The addresses of this machine on the network."""
    every = [address for card in psutil.net_if_addrs().values() for address in card]
    found = [address.address for address in every if address.family == socket.AF_INET]
    return [address for address in found if not address.startswith("127.")]


def ask(url: str, job: dict[str, str] | None = None, **headers: str) -> tuple[int, bytes]:
    """The status and the body of an answer, as `curl` would get them; status 0 is no HTTP."""
    body = None if job is None else json.dumps(job).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=3) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, HTTPException):
        return 0, b""


def jobs(training: Training) -> Any:
    """What Ray lists of its jobs for those who have the token."""
    address = local.find()
    code, body = ask(f"{address}/api/jobs/", **access.headers())
    assert code == 200
    return json.loads(body)


def test_no_port_is_open_to_the_network(training: Training) -> None:
    ports = listening()
    assert {port: ip for port, ip in ports.items() if ip not in LOOPBACK} == {}
    for address in outer_addresses():
        for port in ports:
            with socket.socket() as probe:
                probe.settimeout(5)
                assert probe.connect_ex((address, port)) != 0, f"{address}:{port} is open"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_no_port_runs_a_command_or_tells_a_secret_without_the_token(
    training: Training, tmp_path: Path, headers: dict[str, str]
) -> None:
    ran = tmp_path / "ran"
    job = {"entrypoint": f"touch {ran}", "submission_id": f"intruder-{len(headers)}"}
    refused = set()
    for port in listening():
        for path, posted in product(PATHS, (None, job)):
            code, body = ask(f"http://127.0.0.1:{port}{path}", posted, **headers)
            assert not SECRET.search(body)
            refused |= {port} if code in (401, 403) else set()
            if not code:  # it speaks gRPC alone
                break
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            keys = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel).InternalKVKeys
            with pytest.raises(grpc.RpcError):
                keys(gcs_service_pb2.InternalKVKeysRequest(prefix=b""), timeout=5)
    assert len(refused) >= 3, "the dashboard, its agent and the agent of runtime environments"
    assert job["submission_id"] not in [listed["submission_id"] for listed in jobs(training)]
    assert not ran.exists()


def contents(folder: Path) -> dict[Path, bytes]:
    """The files below a folder in which a training goes on, which writes and removes some."""
    found = {}
    for directory, _, names in os.walk(folder):
        for file in (Path(directory, name) for name in names):
            with suppress(FileNotFoundError):
                if file.is_file():
                    found[file] = file.read_bytes()
    return found


def test_secrets_of_the_shell_reach_the_workers_and_nothing_else(training: Training) -> None:
    listed = json.dumps(jobs(training))
    assert "ARDM_ENVIRONMENT_FILE" in listed
    assert not SECRET.search(listed.encode())
    assert training.folder.stat().st_mode & 0o077 == 0
    logs = contents(training.folder)
    assert len(logs) > 20
    assert [str(file) for file, text in logs.items() if SECRET.search(text)] == []
    kept = contents(Path(training.run.store.uri))
    assert f"{training.run.name}/job.yaml" in "".join(map(str, kept))
    assert [str(file) for file, text in kept.items() if SECRET.search(text)] == []
    for process in family():
        with suppress(psutil.NoSuchProcess):
            assert "secret-of" not in str(process.cmdline())
    compiling = {file.stem for file, text in logs.items() if b"Finished XLA compilation" in text}
    assert len([name for name in compiling if name.startswith("worker-")]) == 2


def test_the_printed_line_works_in_another_shell(training: Training, tmp_path: Path) -> None:
    line = training.said.splitlines()[-1]
    assert "ray job status" in line
    assert not SECRET.search(line.encode())
    theirs = tmp_path / ".ray" / "auth_token"
    theirs.parent.mkdir()
    theirs.write_text("another cluster's")
    done = subprocess.run(
        ["sh", "-c", line],
        env={"HOME": str(tmp_path), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert f"{training.run.name}-1" in done.stdout + done.stderr
    assert "RUNNING" in done.stdout + done.stderr
    assert theirs.read_text() == "another cluster's"

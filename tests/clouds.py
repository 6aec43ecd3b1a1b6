"""Real servers of the protocols of S3 and of Azure's blobs, on this machine."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

PATIENCE = 60.0
"""Seconds within which a server listens."""

_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of the account that every Azurite has; its documentation names it."""


@contextmanager
def serve(kind: str) -> Iterator[str]:
    """A server, with its settings in the environment while the block runs; its address.

    Args:
        kind: `s3` (moto) or `az` (Azurite, without which the test is skipped).
    """
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    if kind == "s3":
        command = [sys.executable, "-m", "moto.server", "-p", str(port)]
        settings = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    else:
        azurite = shutil.which("azurite-blob")
        if azurite is None:
            pytest.skip("install Azurite (npm install -g azurite)")
        command = [azurite, "--blobPort", str(port), "--inMemoryPersistence", "--silent"]
        command += ["--skipApiVersionCheck", "--disableTelemetry"]
        connection = (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={_KEY};"
            f"BlobEndpoint={address}/devstoreaccount1;"
        )
        settings = {"AZURE_STORAGE_CONNECTION_STRING": connection}
    quiet = subprocess.DEVNULL
    with (
        subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        try:
            for name, value in settings.items():
                patch.setenv(name, value)
            deadline = time.monotonic() + PATIENCE
            while not _listens(port):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield address
        finally:
            process.kill()


def make_bucket(kind: str) -> str:
    """A new bucket of the server in the environment, as a URL."""
    name = f"test-{os.getpid()}-{time.time_ns()}"
    fsspec.filesystem(kind, skip_instance_cache=True).mkdir(name)
    return f"{kind}://{name}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

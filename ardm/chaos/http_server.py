"""A small HTTP server whose answers can be broken off."""

import socket
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Generic, TypeVar

T = TypeVar("T")


class Server(ThreadingHTTPServer, Generic[T]):
    """Answers on this machine alone, on a free port.

    Args:
        owner: for the handlers.
        handler: of a connection.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: T, handler: "type[Handler[T]]") -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error here."""


class Handler(BaseHTTPRequestHandler, Generic[T]):
    """Reads requests and writes answers, as a whole or in part."""

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
        """Close the connection the hard way, as when a machine or a cable is gone."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

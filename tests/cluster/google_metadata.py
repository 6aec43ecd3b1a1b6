"""A metadata server as Google's: waits for a change, with etags; can be made to fail."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Metadata:
    """The values of `instance/`, and what was asked for."""

    def __init__(self) -> None:
        self._values = {"preempted": "FALSE", "maintenance-event": "NONE"}
        self._version = 0
        self._changed = threading.Condition()
        self.failing: int | None = None
        """A status that every question is answered with."""
        self.questions = 0
        self.host = ""

    def set(self, key: str, value: str) -> None:
        with self._changed:
            self._values[key] = value
            self._version += 1
            self._changed.notify_all()

    def answer(self, key: str, etag: str, hold: float) -> tuple[str, str]:
        with self._changed:
            self.questions += 1
            self._changed.wait_for(lambda: etag != str(self._version), hold)
            return self._values[key], str(self._version)


@contextmanager
def serving() -> Iterator[Metadata]:
    """A real HTTP server on this machine."""
    metadata = Metadata()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            if self.headers["Metadata-Flavor"] != "Google":
                self.send_error(403)
            elif metadata.failing:
                metadata.questions += 1
                self.send_error(metadata.failing)
            else:
                assert query["wait_for_change"] == "true"
                text, etag = metadata.answer(
                    url.path.removeprefix("/computeMetadata/v1/instance/"),
                    query["last_etag"],
                    float(query["timeout_sec"]),
                )
                # Whoever asked may be gone by now.
                with suppress(ConnectionError):
                    self.send_response(200)
                    self.send_header("ETag", etag)
                    self.end_headers()
                    self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as metadata.host:
        yield metadata


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests to this machine by a handler; the host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()

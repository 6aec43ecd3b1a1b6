"""A job server that ends while it is asked."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import ray

from ardm.cluster import submission
from ardm.errors import InputError
from ardm.runs.layout import Run
from ardm.runs.store import Store


class Ending(BaseHTTPRequestHandler):
    """Tells its version, and hangs up at anything else."""

    def do_GET(self) -> None:
        if self.path == "/api/version":
            body = f'{{"version": "4", "ray_version": "{ray.__version__}", "ray_commit": ""}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())
        self.close_connection = True


@pytest.fixture
def ending() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Ending) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_job_server_that_hangs_up_is_one_clear_error(ending: str, tmp_path: Path) -> None:
    run = Run(Store(str(tmp_path)), "r")
    with pytest.raises(InputError, match=f"no Ray job server answers at {ending} .*--address"):
        submission.submit(run, ending, local=True)
    made = submission.Submission(ending, "r-1")
    assert submission.status(made) is None
    with pytest.raises(InputError):
        submission.logs(made)

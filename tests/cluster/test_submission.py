"""A job server that ends while it is asked."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
import ray

from ardm.cluster import job_server, submission
from ardm.cluster.job_server import JobServer
from ardm.errors import InputError
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.cluster.conftest import ARDM, TINY


class Ending(BaseHTTPRequestHandler):
    """Reports its version, and hangs up at anything else."""

    token: ClassVar[str | None] = None
    heard: ClassVar[list[tuple[str, str | None]]]

    def do_GET(self) -> None:
        said = self.headers["Authorization"]
        self.heard.append((self.path, said))
        if self.token and said != f"Bearer {self.token}":
            self.send_error(403 if said else 401)
        elif self.path == "/api/version":
            body = f'{{"version": "4", "ray_version": "{ray.__version__}", "ray_commit": ""}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())
        self.close_connection = True


class Heard(NamedTuple):
    """A server of `Ending`, and the paths and tokens of what it was asked."""

    address: str
    requests: list[tuple[str, str | None]]


@contextmanager
def serve(token: str | None = None) -> Iterator[Heard]:
    heard: list[tuple[str, str | None]] = []
    handler = type("Handler", (Ending,), {"token": token, "heard": heard})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Heard(f"http://127.0.0.1:{server.server_port}", heard)
        server.shutdown()


@pytest.fixture
def ending() -> Iterator[str]:
    with serve() as server:
        yield server.address


def test_a_job_server_that_hangs_up_is_one_clear_error(ending: str, tmp_path: Path) -> None:
    run = Run(Store(str(tmp_path)), "r")
    with pytest.raises(InputError, match=f"no Ray job server answers at {ending} .*--address"):
        submission.submit(run, JobServer(ending, here=True))
    made = submission.Submission(ending, "r-1")
    assert submission.status(made) is None
    with pytest.raises(InputError):
        submission.logs(made)


def test_a_job_server_that_asks_for_a_token_is_one_clear_error(tmp_path: Path) -> None:
    with serve("theirs") as server, pytest.raises(InputError, match="asks for a token"):
        submission.submit(Run(Store(str(tmp_path)), "r"), JobServer(server.address, here=True))


def test_no_other_ray_is_asked_about_a_job_of_a_local_ray_that_has_ended() -> None:
    with serve() as server:
        made = submission.Submission(server.address, "r-1", local_ray="0123456789ab")
        assert submission.status(made) is None
        with pytest.raises(InputError, match="has ended"):
            submission.end(made)
    assert server.requests == []


@pytest.mark.parametrize("variable", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "http_proxy"])
def test_the_server_that_was_named_is_asked_and_no_other(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as named, serve() as other:
        monkeypatch.setenv(variable, other.address)
        with pytest.raises(InputError):
            submission.logs(submission.Submission(named.address, "r-1"))
        assert os.environ[variable] == other.address
    assert len(named.requests) > 1
    assert other.requests == []


def test_another_cluster_gets_the_user_s_own_token_and_not_ours(tmp_path: Path) -> None:
    with serve("theirs") as server:
        run = ["submit", str(TINY), "--run", "r", "--address", server.address]
        done = subprocess.run(
            [ARDM, *run],
            env=os.environ
            | {"ARDM_STORE": str(tmp_path / "runs"), "ARDM_HOME": str(tmp_path / "home")}
            | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "theirs"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 2, done.stderr
    assert "no Ray job server answers" in done.stderr  # it hangs up when asked for its jobs
    assert {token for _, token in server.requests} == {"Bearer theirs"}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("auto", "is that of no job server; expected one such as http://host:8265"),
        ("10.0.0.1:6379", "is that of no job server; expected one such as http://10.0.0.1:8265"),
        ("ray://head:10001", "is that of Ray's client server; expected one such as http://head:"),
        ("http://127.0.0.1:1", "no Ray job server answers at http://127.0.0.1:1"),
        ("http://", "is that of no job server"),
    ],
)
def test_no_run_is_created_before_a_job_server_answers(
    tmp_path: Path, address: str, expected: str
) -> None:
    done = subprocess.run(
        [ARDM, "submit", str(TINY), "--store", str(tmp_path / "runs")],
        env=os.environ | {"RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert expected in " ".join(done.stderr.split())
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("address", [None, "", "local"])
def test_without_an_address_the_local_ray_is_meant(address: str | None) -> None:
    assert job_server.named(address) is None


def test_a_directory_is_refused_by_another_machine_unless_it_is_shared(
    tmp_path: Path, ending: str
) -> None:
    far, store = JobServer("http://192.0.2.1:8265", here=False), Store(str(tmp_path))
    with pytest.raises(InputError, match="say so with --shared"):
        submission.require(far, store)
    with pytest.raises(InputError, match="no Ray job server answers"):
        submission.require(JobServer(ending, here=False), store, shared=True)

"""A head that nothing needs deletes itself: what counts as need, and the request to Google."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ardm.chaos.nodes import Nodes
from ardm.cluster import access, idle
from ardm.errors import InputError
from tests.cluster.conftest import ARDM, jobs_of, wait_until
from tests.cluster.google_metadata import listening

MACHINE = "projects/12/zones/us-central1-a/instances/ray-ardm-head"


class Google:
    """The metadata of one machine, and the interface that deletes it, on one port."""

    def __init__(self) -> None:
        self.refusal: int | None = None
        """A status with which every request to delete is answered."""
        self.deleted: list[tuple[str, str | None]] = []
        """Path and authorization of each request to delete."""
        self.host = ""

    def settings(self) -> dict[str, str]:
        """Environment variables that lead Google's libraries here."""
        return {"GCE_METADATA_HOST": self.host, idle.ENDPOINT: f"http://{self.host}/compute/v1/"}


@contextmanager
def serving() -> Iterator[Google]:
    google = Google()
    account = {"email": "head@example.com", "scopes": ["x"], "aliases": ["default"]}
    token = {"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}
    answers = {
        "/computeMetadata/v1/instance/zone": MACHINE.rpartition("/instances/")[0],
        "/computeMetadata/v1/instance/name": MACHINE.rpartition("/")[2],
        "/computeMetadata/v1/instance/service-accounts/default/": json.dumps(account),
        "/computeMetadata/v1/instance/service-accounts/head@example.com/": json.dumps(account),
        "/computeMetadata/v1/instance/service-accounts/default/token": json.dumps(token),
        "/computeMetadata/v1/instance/service-accounts/head@example.com/token": json.dumps(token),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            if answer is None or self.headers["Metadata-Flavor"] != "Google":
                self.send_error(404)
                return
            self.reply(200, answer, "application/json" if answer[0] == "{" else "text/plain")

        def do_DELETE(self) -> None:
            google.deleted.append((self.path.partition("?")[0], self.headers["Authorization"]))
            status = google.refusal or 200
            self.reply(status, json.dumps({"error": {"message": "no right"}}), "application/json")

        def reply(self, status: int, text: str, kind: str) -> None:
            self.send_response(status)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as google.host:
        yield google


class Looks:
    """A cluster with one need at each look; time passes only in sleeps."""

    def __init__(self, *needs: str | Exception | None) -> None:
        self._needs = list(needs)
        self.time = 0.0

    def need(self) -> str | None:
        need = self._needs.pop(0)
        if isinstance(need, Exception):
            raise need
        return need

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def wait(self, after: float) -> bool:
        return idle.wait(
            after,
            self.need,
            lambda: bool(self._needs),
            look=10.0,
            clock=lambda: self.time,
            sleep=self.sleep,
        )


@pytest.mark.parametrize(
    ("needs", "ends_at"),
    [
        pytest.param([None] * 4, 30.0, id="nothing"),
        pytest.param([None, None, "job", None, None, None, None], 60.0, id="a job in between"),
        pytest.param([None, OSError("gone"), None, None, None, None], 50.0, id="no answer"),
    ],
)
def test_only_a_time_without_any_need_counts(needs: list, ends_at: float) -> None:
    looks = Looks(*needs)
    assert looks.wait(after=30.0)
    assert looks.time == ends_at


def test_it_ends_with_its_node() -> None:
    assert not Looks("job", "job").wait(after=30.0)


def test_a_machine_outside_the_cloud_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    with pytest.raises(InputError, match=r"expected a machine of Google's cloud.*127\.0\.0\.1:9"):
        idle.this_machine()


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_an_idle_head_deletes_itself_and_a_job_or_a_machine_keeps_it(
    cluster: Nodes, tmp_path: Path
) -> None:
    log, node = tmp_path / "idle.log", cluster.add()
    options = ["--after", "0.05", "--dashboard", cluster.jobs, "--node-id", cluster.head.node_id]
    secrets = access.ENVIRONMENT | access.settings()
    with serving() as google, log.open("w") as out:
        environment = os.environ | secrets | google.settings()
        command = [ARDM, "idle-stop", *options]
        process = subprocess.Popen(command, stderr=out, env=environment)
        try:
            wait_until(lambda: "needed by: 1 other machine" in log.read_text())
            gate = tmp_path / "gate"
            waits = f"while [ ! -e {gate} ]; do sleep 0.2; done"
            job = jobs_of(cluster.jobs).submit_job(entrypoint=waits)
            cluster.kill(node)
            wait_until(lambda: f"needed by: {job}" in log.read_text())
            assert google.deleted == []
            google.refusal = 403
            gate.touch()
            wait_until(lambda: "trying again after 0.05 idle minutes" in log.read_text())
            google.refusal = None
            assert process.wait(120) == 0, log.read_text()
        finally:
            process.kill()
    said = log.read_text()
    assert set(google.deleted) == {(f"/compute/v1/{MACHINE}", "Bearer a-token")}
    assert len(google.deleted) >= 2
    assert "needed by: nothing" in said
    assert "could not be deleted" in said
    assert f"idle for 0.05 minutes; deleted {MACHINE}" in said

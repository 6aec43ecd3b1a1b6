"""A real Ray on this machine, and `ardm` as a person types it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.job_submission import JobSubmissionClient

from ardm.chaos.nodes import Nodes, nodes
from ardm.checkpoint import checkpoints
from ardm.cluster import access, local
from ardm.cluster.ports import answers, free_ports
from ardm.runner import control
from ardm.store.run_directory import Run
from ardm.store.store import Store

TINY = Path(__file__).with_name("tiny.yaml")
ARDM = str(Path(sys.executable).with_name("ardm"))

needs_minutes = pytest.mark.skipif(
    "ARDM_TEST_LONG" not in os.environ, reason="takes minutes: ARDM_TEST_LONG=1 make test"
)


@dataclass(frozen=True)
class Ardm:
    """The command line with a store and a home of its own."""

    store: str

    def __call__(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and require its exit code."""
        done = subprocess.run(
            [ARDM, *args],
            env=os.environ | {"ARDM_STORE": self.store},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == code, f"{args} ended with {done.returncode}:\n{done.stderr}"
        return done

    @contextmanager
    def begun(self, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that is told to end when that is over, if it has not ended by itself."""
        environment = os.environ | {"ARDM_STORE": self.store}
        with subprocess.Popen([ARDM, *args], env=environment, stderr=subprocess.DEVNULL) as process:
            yield process
            process.terminate()

    def json(self, *args: str) -> Any:
        """Run a command with --json; its result."""
        return json.loads(self(*args, "--json").stdout)

    def status(self, run: str, *more: str) -> dict[str, Any]:
        return dict(self.json("status", run, *more))

    def await_end(self, name: str, patience: float = 600, beyond: int = 0) -> dict[str, Any]:
        """Wait until an attempt with a number `beyond` has ended the run; its verified status."""
        run = Run(Store(self.store), name)

        def ended() -> bool:
            number = run.newest_attempt()
            end = control.ended(run, number) if number > beyond else None
            return end is not None and end.outcome.ends_the_job

        wait_until(ended, patience, every=0.5)
        return self.status(name)


def saved(run: Run, attempt: int) -> bool:
    """Whether an attempt has committed a checkpoint of its own."""
    return any(place.attempt == attempt for place in checkpoints.committed(run))


def claim(run: Run, attempt: int) -> dict[str, Any]:
    """What an attempt wrote when it claimed the run; empty before."""
    return run.read_claim(attempt)


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """Let a process do nothing for a while."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def wait_until(true: Callable[[], Any], patience: float = 300, every: float = 0.2) -> Any:
    """Wait for a condition; its value."""
    deadline = time.monotonic() + patience
    while not (value := true()):
        assert time.monotonic() < deadline, f"not within {patience} s"
        time.sleep(every)
    return value


def train_workers() -> list[psutil.Process]:
    """The processes of Ray Train's workers on this machine."""
    return _called("ray::RayTrainWorker")


def idle() -> list[psutil.Process]:
    """The processes of Ray's that wait for something to do."""
    return _called("ray::IDLE")


def at_rest(process: psutil.Process) -> bool:
    """Whether a process does nothing for two seconds."""
    return process.cpu_percent(2.0) < 5


def server() -> psutil.Process:
    """The store of the buckets of these tests."""
    mine = psutil.Process().children(recursive=True)
    (found,) = [process for process in mine if process.name().startswith("fake-gcs-server")]
    return found


def _called(name: str) -> list[psutil.Process]:
    """Processes of a Ray that these tests started, and not those of `ardm chaos` beside them."""
    mine = os.environ["ARDM_HOME"]
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["cmdline"] or [""])[0].startswith(name)
        and (process.info["environ"] or {}).get("ARDM_HOME") == mine
    ]


def kill(process: psutil.Process) -> None:
    """End a process without notice, if it has not ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


@pytest.fixture(scope="session")
def ray_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of the tests' own local Ray, which ends with them."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("ARDM_HOME", str(home))
        patch.delenv("RAY_ADDRESS", raising=False)
        # Beside the other tests Ray's workers would hardly get a turn.
        patch.setenv("RAY_worker_niceness", "0")
        yield home
        local.stop()


@pytest.fixture
def ray(ray_home: Path) -> str:
    """The address of the job server of a running local Ray."""
    return running_ray()


def running_ray() -> str:
    """The address of the tests' local Ray, which is started unless it runs.

    Each of the ports that it chooses first is taken meanwhile, as by a Ray that starts beside it.
    """
    if address := local.find():
        return address
    with socket.create_server(("127.0.0.1", 0)) as other:
        places = iter(range(3))

        def taken_ports(*wanted: int) -> list[int]:
            found = free_ports(*wanted)
            if (place := next(places, None)) is not None:
                found[place] = other.getsockname()[1]
            return found

        address = local.start(cpus=4, ports=taken_ports)
    assert next(places, None) is None
    return address


def jobs_of(address: str) -> JobSubmissionClient:
    """A client of a Ray that asks for our token."""
    return JobSubmissionClient(address, headers=access.headers())


@pytest.fixture(scope="session")
def head(ray_home: Path) -> Iterator[Nodes]:
    """A cluster of several nodes, of which only the head is there."""
    with nodes() as cluster:
        wait_until(lambda: answers(cluster.jobs))
        yield cluster


@pytest.fixture
def cluster(head: Nodes) -> Iterator[Nodes]:
    """The same cluster, whose nodes end with the test."""
    yield head
    for node in list(head.nodes):
        head.kill(node)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The final digest of an uninterrupted run of the tiny job, trained in process."""
    ardm = Ardm(str(tmp_path_factory.mktemp("reference")))
    ardm("train", str(TINY), "--run", "whole", "--no-progress")
    return str(ardm.status("whole")["digest"])

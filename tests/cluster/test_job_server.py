"""The way to the job server of a cluster: the real `ray dashboard`, with an ssh of our own."""

import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from ardm.cluster import job_server, ports
from ardm.cluster.job_server import JobServer
from ardm.errors import InputError, JobFailed
from tests.cluster.autoscaled import COMMANDS
from tests.cluster.test_submission import Heard, serve

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow

HEAD = "192.0.2.7"

FORWARDS = """
import pathlib, socket, sys, threading
near, far = sys.argv[sys.argv.index("-L") + 1].split(":", 1)
pathlib.Path(HERE, "asked").write_text(far + " " + sys.argv[-2])

def copy(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)

with socket.create_server(("127.0.0.1", int(near))) as server:
    while True:
        one, other = server.accept()[0], socket.create_connection(("127.0.0.1", FAR))
        for pair in ((one, other), (other, one)):
            threading.Thread(target=copy, args=pair, daemon=True).start()
"""

IS_REFUSED = """
import sys
print("ssh: connect to host 192.0.2.7 port 22: Connection refused", file=sys.stderr)
sys.exit(255)
"""

IS_SILENT = """
import pathlib, sys, time
print("ssh: still trying", file=sys.stderr, flush=True)
pathlib.Path(HERE, "asked").touch()
time.sleep(600)
"""

Ssh = Callable[..., None]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    """Puts a program in the place of ssh; FAR is the port at which the job server really is."""

    def install(program: str, far: int = 0) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        file = folder / "ssh"
        file.write_text(f"#!{sys.executable} -IS\nHERE, FAR = {str(tmp_path)!r}, {far}\n{program}")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where Ray finds the provider

    return install


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A cluster launcher's file, of a cluster that is up."""
    return write(tmp_path / "cluster.yaml", {"head": HEAD})


def write(file: Path, provider: dict[str, Any]) -> Path:
    """A cluster launcher's file whose nodes are those of `OneHead`."""
    config = {
        "cluster_name": file.stem,
        "max_workers": 0,
        "provider": {"type": "external", "module": "tests.cluster.one_head.OneHead", **provider},
        "docker": {},
        "file_mounts": {},
        "auth": {"ssh_user": "somebody"},
        "head_node_type": "head",
        "available_node_types": {"head": {"resources": {"CPU": 2}, "node_config": {}}},
    } | {command: [] for command in COMMANDS}
    file.write_text(yaml.safe_dump(config))
    return file


def children() -> set[psutil.Process]:
    """What this process has started and has not ended."""
    return {*psutil.Process().children(recursive=True)}


def started_since(before: set[psutil.Process]) -> set[psutil.Process]:
    """What was started and lives; the Ray of other tests starts and ends processes meanwhile."""
    started = set()
    for process in children() - before:
        with suppress(psutil.NoSuchProcess):
            if not before & {*process.parents()}:
                started.add(process)
    return started


def test_a_tunnel_leads_to_the_job_server_of_the_head_and_is_gone_with_the_block(
    ssh: Ssh, cluster: Path, tmp_path: Path
) -> None:
    before, addresses = children(), list[str]()

    def use(far: Heard) -> None:
        with job_server.job_server(None, cluster, pytest.fail) as server:
            assert not server.here
            asked = len(far.requests)
            assert ports.answers(server.address)
            assert far.requests[asked:] == [("/api/version", None)]
            assert (tmp_path / "asked").read_text() == f"localhost:8265 somebody@{HEAD}"
            addresses.append(server.address)
            raise ZeroDivisionError  # as a submission may fail

    with serve() as far:
        ssh(FORWARDS, int(far.address.rpartition(":")[2]))
        with pytest.raises(ZeroDivisionError):
            use(far)
        assert not ports.answers(addresses[0])
    assert started_since(before) == set()


def test_a_head_that_refuses_is_told_at_once_in_the_words_of_ssh(ssh: Ssh, cluster: Path) -> None:
    before = children()
    ssh(IS_REFUSED)
    with pytest.raises(JobFailed) as caught, job_server.tunnel(cluster):
        pytest.fail("there is no tunnel")
    assert f"the cluster of {cluster} cannot be reached; `make cluster-up` starts it" in str(
        caught.value
    )
    assert "port 22: Connection refused" in str(caught.value)
    assert started_since(before) == set()


def test_a_cluster_that_is_not_up_is_told_in_the_words_of_ray(ssh: Ssh, tmp_path: Path) -> None:
    ssh(FORWARDS)
    file = write(tmp_path / "nothing.yaml", {})
    with pytest.raises(JobFailed, match=f"the cluster of {file} cannot be reached") as caught:
        job_server.tunnel(file).__enter__()
    assert "Head node of cluster (nothing) not found" in str(caught.value)
    assert not (tmp_path / "asked").exists()


def test_a_port_that_never_answers_is_given_up_and_nothing_is_left(
    ssh: Ssh, cluster: Path, tmp_path: Path
) -> None:
    before = children()
    ssh(IS_SILENT)

    def clock() -> float:
        """All the time that there is has passed once ssh is at work."""
        return job_server.TUNNEL_PATIENCE + 1 if (tmp_path / "asked").exists() else 0.0

    with pytest.raises(JobFailed, match="ssh: still trying"):
        job_server.tunnel(cluster, clock).__enter__()
    assert started_since(before) == set()


def test_a_cluster_has_gpus_if_one_of_its_kinds_of_nodes_has(cluster: Path) -> None:
    assert job_server.has_gpus(ROOT / "cluster.yaml")
    assert not job_server.has_gpus(cluster)


@pytest.mark.parametrize(
    "text", [None, "", "[]", "a: [", "available_node_types: [1]", "available_node_types: {a: 1}"]
)
def test_what_is_no_cluster_file_is_refused_by_name(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "odd.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=f"{file}: expected a file of Ray's cluster launcher"):
        job_server.has_gpus(file)


def test_a_job_server_that_is_named_is_taken_as_it_is_and_nothing_is_started() -> None:
    before = children()
    with job_server.job_server("http://192.0.2.1:8265", None, pytest.fail) as server:
        assert server == JobServer("http://192.0.2.1:8265", here=False)
    assert started_since(before) == set()

"""Which Ray node is ours, among real processes that look like Ray's."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ardm.cluster import raylet
from ardm.cluster.ports import free_ports
from ardm.errors import InputError, JobFailed
from tests.cluster.agents import agent
from tests.cluster.conftest import wait_until

pytestmark = pytest.mark.slow


ONE, TWO = "1" * 56, "2" * 56

Start = Callable[[str, str], subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process with the name and the options of a Ray node."""
    started: list[subprocess.Popen[bytes]] = []
    program = tmp_path / "raylet"
    program.symlink_to(sys.executable)

    def one(node_id: str, address: str) -> subprocess.Popen[bytes]:
        command = [str(program), "-c", "import time; time.sleep(60)"]
        options = [f"--node_id={node_id}", f"--gcs-address={address}", "--other=a=b", "word"]
        started.append(subprocess.Popen(command + options))
        while node_id not in [node.node_id for node in raylet.here()]:
            time.sleep(0.01)
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait()


def test_only_node_is_found(start: Start) -> None:
    process = start(ONE, "10.0.0.1:6379")
    found = raylet.find(address="10.0.0.1:6379")
    assert (found.node_id, found.address, found.pid) == (ONE, "10.0.0.1:6379", process.pid)


def test_node_is_picked_by_its_id(start: Start) -> None:
    start(ONE, "10.0.0.1:6379")
    start(TWO, "10.0.0.1:6379")
    assert raylet.find(TWO).node_id == TWO


@pytest.mark.parametrize("address", ["10.0.0.2:6380", "127.0.0.1:6380", "localhost:6380"])
def test_node_is_picked_by_its_head(start: Start, address: str) -> None:
    start(ONE, "10.0.0.2:6379")
    start(TWO, "10.0.0.2:6380")
    assert raylet.find(address=address).node_id == TWO


def test_several_nodes_are_named(start: Start) -> None:
    start(ONE, "10.0.0.1:6379")
    start(TWO, "10.0.0.1:6379")
    with pytest.raises(InputError, match="several Ray nodes") as caught:
        raylet.find(address="10.0.0.1:6379")
    assert f"--node-id {ONE} --address 10.0.0.1:6379" in str(caught.value)
    assert f"--node-id {TWO}" in str(caught.value)


def test_node_of_another_machine_is_refused(start: Start) -> None:
    """An agent drains its own node only."""
    start(ONE, "10.0.0.1:6379")
    with pytest.raises(InputError, match=f"(?s)no such Ray node.*{ONE}"):
        raylet.find(TWO)


def test_node_is_waited_for(start: Start) -> None:
    begin = time.monotonic()
    with pytest.raises(InputError):
        raylet.find(ONE, patience=0.3)
    assert time.monotonic() - begin >= 0.3


def test_node_is_dead_as_soon_as_its_process_is(start: Start) -> None:
    process = start(ONE, "10.0.0.1:6379")
    found = raylet.find(ONE)
    assert found.alive()
    process.kill()
    while found.alive():
        time.sleep(0.01)
    # Not reaped yet: a zombie is no node.
    assert ONE not in [node.node_id for node in raylet.here()]
    process.wait()
    assert not found.alive()


def test_another_process_with_the_same_number_is_not_the_node() -> None:
    assert not raylet.Raylet(ONE, "10.0.0.1:6379", os.getpid(), created=0.0).alive()


def test_head_that_is_gone_is_told_long_before_the_machine_is() -> None:
    with socket.socket() as bound_only:
        bound_only.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound_only.getsockname()[1]}"
        begin = time.monotonic()
        with pytest.raises(JobFailed, match=f"head at {address} cannot be reached"):
            raylet.drain(raylet.Raylet(ONE, address, 1, 0.0), "test", 25.0)
        assert time.monotonic() - begin < 10


def test_agent_outlives_its_terminal_and_asks_a_lost_head_until_its_node_ends(
    start: Start, tmp_path: Path
) -> None:
    (port,), log = free_ports(0), tmp_path / "agent.log"
    node = start(ONE, f"127.0.0.1:{port}")
    with agent(raylet.find(ONE), "127.0.0.1:9", log) as process:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGTERM):
            process.send_signal(number)
        wait_until(lambda: log.read_text().count("cannot be reached") >= 3)
        assert process.poll() is None
        node.kill()
        node.wait()
        assert process.wait(60) == 0
    assert log.read_text().count("notice:") == 1

"""The agent: which notice drains the node, and a real one that drains a real node."""

import logging
import os
import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardm.chaos.nodes import Nodes
from ardm.cluster import node_agent
from ardm.cluster.raylet import Raylet
from ardm.errors import JobFailed
from tests.cluster.agents import agent
from tests.cluster.conftest import wait_until
from tests.cluster.google_metadata import Metadata, serving

HERE = Raylet("1" * 56, "127.0.0.1:1", os.getpid(), 0.0)


def serve(notices: node_agent.Notices, drained: list[str], lives: int = 1000) -> str | None:
    """Serve a node that lives for so many looks."""
    looks = iter(range(lives))
    return node_agent.serve(
        notices,
        lambda message, left: drained.append(message),
        lambda: next(looks, None) is not None,
        beat=0.001,
    )


def test_first_notice_drains_once_and_further_ones_do_not() -> None:
    notices = node_agent.Notices()
    for notice in ("preempted is TRUE", "SIGTERM", "SIGTERM"):
        notices.put(notice)
    drained: list[str] = []
    assert serve(notices, drained) == "preempted is TRUE"
    assert drained == ["ardm node-agent: preempted is TRUE"]


def test_agent_ends_with_its_node() -> None:
    drained: list[str] = []
    assert serve(node_agent.Notices(), drained, lives=3) is None
    assert drained == []


class Head:
    """A head that fails so many times and then accepts; time passes only in sleeps."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.left: list[float] = []
        self.slept: list[float] = []

    def drain(self, message: str, left: float) -> None:
        self.left.append(left)
        if self._errors:
            raise self._errors.pop(0)

    def serve(self, lives: int) -> str | None:
        looks = iter(range(lives))
        notices = node_agent.Notices()
        notices.put("SIGTERM")
        return node_agent.serve(
            notices,
            self.drain,
            lambda: next(looks, None) is not None,
            deadline=3.0,
            clock=lambda: sum(self.slept),
            sleep=self.slept.append,
        )


def test_a_drain_that_fails_is_asked_for_again_until_it_is_accepted() -> None:
    head = Head(JobFailed("refused"), RuntimeError("a bug of Ray's"), *[JobFailed("gone")] * 3)
    assert head.serve(lives=100) == "SIGTERM"
    assert head.slept == [0.25, 0.5, 1.0, 2.0, 2.0]
    assert head.left == [3.0, 2.75, 2.25, 1.25, node_agent.LEAST, node_agent.LEAST]


def test_a_drain_is_given_up_with_the_node() -> None:
    head = Head(*[JobFailed("refused")] * 100)
    assert head.serve(lives=5) is None
    assert len(head.left) == 4


def test_every_event_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    notices = node_agent.Notices()
    notices.put("SIGTERM")
    with caplog.at_level(logging.INFO):
        serve(notices, [])
    assert [r.message for r in caplog.records] == [
        "notice: SIGTERM; draining this node",
        "Ray drains this node",
    ]


def test_every_key_is_watched() -> None:
    notices = node_agent.Notices()
    node_agent.watch(notices, ["a", "b"], lambda key: f"{key} is TRUE")
    assert {notices.get(timeout=5), notices.get(timeout=5)} == {"a is TRUE", "b is TRUE"}
    with pytest.raises(queue.Empty):
        notices.get(timeout=0.01)


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with serving() as server:
        yield server


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_real_nodes_are_drained_at_a_notice_and_at_sigterm(
    cluster: Nodes, metadata: Metadata, tmp_path: Path
) -> None:
    """An idle node ends as soon as it is drained, so Ray's word on its death is looked at."""
    node, other, log = cluster.add(), cluster.add(), tmp_path / "agent.log"
    with agent(node, metadata.host, log) as process:
        wait_until(lambda: metadata.questions >= 4)
        assert node.alive()
        begin = time.time()
        metadata.set("preempted", "TRUE")
        message = wait_until(lambda: cluster.drained(node), every=0.01)
        print(f"\nnotice -> drained: {time.time() - begin:.2f} s")
        assert message == "ardm node-agent: preempted is TRUE"
        assert process.wait(20) == 0, log.read_text()
        assert log.read_text().count("notice:") == 1
        assert other.alive()
    with agent(other, "127.0.0.1:9", log) as process:
        wait_until(lambda: "SIGTERM alone" in log.read_text())
        begin = time.time()
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not other.alive(), every=0.01)
        print(f"SIGTERM -> drained: {time.time() - begin:.2f} s")
        assert process.wait(20) == 0, log.read_text()
        assert "notice: SIGTERM" in log.read_text()

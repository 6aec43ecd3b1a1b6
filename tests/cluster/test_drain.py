"""A notice for the machine of a worker: the run saves, moves elsewhere and loses nothing."""

import time
from pathlib import Path
from typing import Any

import pytest

from ardm.chaos.nodes import Nodes
from ardm.runs import ledger
from ardm.runs.layout import Run
from ardm.runs.store import Store
from tests.cluster.agents import agent
from tests.cluster.conftest import TINY, Ardm, wait_until
from tests.cluster.google_metadata import serving


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_notice_loses_no_step(cluster: Nodes, tmp_path: Path, reference: str) -> None:
    ardm = Ardm(str(tmp_path / "runs"))
    run = Run(Store(ardm.store), "moved")
    with serving() as metadata:
        both = {node.node_id: node for node in (cluster.add(), cluster.add())}
        ardm("submit", str(TINY), "--run", run.name, "--address", cluster.jobs)
        wait_until(lambda: claim(run, 1))
        first = both[claim(run, 1)["node"]]
        with agent(first, metadata.host, tmp_path / "agent.log"):
            wait_until(lambda: trains(run, 1))
            begin = time.time()
            metadata.set("preempted", "TRUE")
            draining = wait_until(cluster.draining, every=0.01)
        assert list(draining) == [first.node_id]
        assert 20 < draining[first.node_id] / 1000 - begin < 30
        found = ardm.await_end(run.name, 600)

    one, two = found["attempts"]
    assert (one["outcome"], two["outcome"]) == ("preempted", "completed")
    assert "Ray drains the node of rank 0" in one["reason"]
    assert one["steps_lost"] == 0
    assert 0 < one["last_step"] == two["first_step"] < found["step"]
    assert claim(run, 2)["node"] in both.keys() - {first.node_id}
    assert found["digest"] == reference
    saved = ledger.last(ledger.read(run, 1), "saved")
    assert saved
    print(f"\nnotice -> saved: {saved['time'] - begin:.2f} s")


def claim(run: Run, attempt: int) -> dict[str, Any]:
    return run.store.read_json(run.claim(attempt)) or {}


def trains(run: Run, attempt: int) -> bool:
    """Whether an attempt has finished a step."""
    return bool((run.store.read_json(run.progress(attempt)) or {}).get("step"))

"""A notice, a group that goes on with what is left and grows again: no step lost, same digest."""

import time
from pathlib import Path

import pytest

from ardm.chaos.nodes import WORKER, Nodes
from ardm.runs import ledger
from ardm.runs.layout import Run
from ardm.runs.store import Store
from tests.cluster.agents import agent
from tests.cluster.conftest import TINY, Ardm, claim, saved, stopped, wait_until
from tests.cluster.google_metadata import serving

TICK = 22
"""Seconds after which Ray has looked for new resources (every 20)."""


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_notice_loses_no_step_and_the_group_shrinks_and_grows(
    cluster: Nodes, reference: str, tmp_path: Path
) -> None:
    ardm = Ardm(str(tmp_path / "runs"))
    run = Run(Store(ardm.store), "elastic")
    both = {node.node_id: node for node in (cluster.add(), cluster.add())}
    options = ("--set", "scaling.workers=[1, 4]", "--address", cluster.jobs)
    ardm("submit", str(TINY), "--run", run.name, *options)
    wait_until(lambda: saved(run, 1))
    first = both[claim(run, 1)["node"]]
    with serving() as metadata, agent(first, metadata.host, tmp_path / "agent.log"):
        begin = time.time()
        metadata.set("preempted", "TRUE")
        draining = wait_until(cluster.draining, every=0.01)
        assert list(draining) == [first.node_id]
        assert 20 < draining[first.node_id] / 1000 - begin < 30
        wait_until(lambda: saved(run, 2))
        assert claim(run, 2)["node"] in both.keys() - {first.node_id}
        (left,) = (p for n in cluster.nodes if n != first for p in cluster.processes(WORKER, n))
        with stopped(left):
            cluster.add()
            time.sleep(TICK)
    found = ardm.await_end(run.name)

    attempts = found["attempts"]
    assert [a["workers"] for a in attempts] == [2, 1, 2]
    assert [a["outcome"] for a in attempts] == ["preempted", "resized", "completed"]
    assert "Ray drains the node of rank" in attempts[0]["reason"]
    assert attempts[1]["reason"] == "the group grows from 1 to 2 workers; saved"
    assert [a["steps_lost"] for a in attempts] == [0, 0, 0]
    assert found["digest"] == reference
    last = ledger.last(ledger.read(run, 1), "saved")
    assert last
    print(f"\nnotice -> saved: {last['time'] - begin:.2f} s")

"""A group that goes on with what is left, and grows again: the same digest, no step lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from ardm.chaos.nodes import WORKER, Nodes
from ardm.runs.layout import Run
from ardm.runs.store import Store
from tests.cluster.conftest import TINY, Ardm, wait_until

LONG = ("--set", "training.steps=600", "--set", "evaluation.every=600")


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_the_group_shrinks_with_its_nodes_and_grows_with_them(
    cluster: Nodes, tmp_path: Path
) -> None:
    ardm = Ardm(str(tmp_path / "runs"))
    ardm("train", str(TINY), "--run", "whole", "--no-progress", *LONG)
    run = Run(Store(ardm.store), "elastic")
    cluster.add()
    lost = cluster.add()
    options = ("--set", "scaling.workers=[1, 4]", "--address", cluster.jobs)
    ardm("submit", str(TINY), "--run", run.name, *LONG, *options)
    wait_until(lambda: saved(run, 1))
    cluster.kill(lost)
    wait_until(lambda: saved(run, 2))
    (left,) = cluster.processes(WORKER)
    with stopped(left):
        cluster.add()
        # Ray looks for new resources so often.
        time.sleep(22)
    found = ardm.await_end(run.name)

    attempts = found["attempts"]
    assert [a["workers"] for a in attempts] == [2, 1, 2]
    assert [a["outcome"] for a in attempts] == ["worker_lost", "resized", "completed"]
    assert attempts[1]["reason"] == "the group grows from 1 to 2 workers; saved"
    assert attempts[1]["steps_lost"] == 0
    assert found["digest"] == ardm.status("whole")["digest"]


def saved(run: Run, attempt: int) -> Any:
    """Whether an attempt has committed a checkpoint of its own."""
    return (run.store.read_json(run.progress(attempt)) or {}).get("saved_time")


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """Let a process do nothing for a while."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()

"""Spot nodes that Ray's autoscaler brings, loses and replaces."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardm.chaos.nodes import family
from ardm.cluster import access, ports
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.cluster.autoscaled import Autoscaled
from tests.cluster.conftest import (
    TINY,
    Ardm,
    claim,
    kill,
    needs_minutes,
    saved,
    stopped,
    train_workers,
    wait_until,
)
from tests.cluster.test_jobs import TICK


@pytest.fixture
def autoscaled(ray_home: Path) -> Iterator[Autoscaled]:
    folder = Path(tempfile.mkdtemp(prefix="ardm-ray-"))
    with access.in_this_process():
        cluster = Autoscaled(folder)
        yield cluster
        cluster.end()
    shutil.rmtree(folder, ignore_errors=True)


@needs_minutes
@pytest.mark.cluster
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("ray_home")
def test_a_lost_spot_node_is_replaced_and_the_group_grows_back(
    autoscaled: Autoscaled, reference: str, tmp_path: Path
) -> None:
    ardm = Ardm(str(tmp_path / "runs"))
    run = Run(Store(ardm.store), "spot")
    wait_until(lambda: ports.answers(autoscaled.jobs))
    assert not autoscaled.spots()
    options = ("--set", "scaling.workers=[1, 2]", "--address", autoscaled.jobs)
    ardm("submit", str(TINY), "--run", run.name, *options)

    def grow(attempt: int) -> int:
        """Let a group of one wait for a second node; the attempt that has two workers."""
        wait_until(lambda: saved(run, attempt), 240)
        if claim(run, attempt)["workers"] == 2:
            return attempt
        (worker,) = train_workers()
        with stopped(worker):
            wait_until(lambda: len(autoscaled.spots()) == 2)
            time.sleep(TICK)
        wait_until(lambda: saved(run, attempt + 1), 240)
        return attempt + 1

    struck = grow(1)
    before = autoscaled.spots()
    for process in family(before[0].pid):
        kill(process)
    grown = grow(struck + 1)
    found = ardm.await_end(run.name)
    assert claim(run, struck)["workers"] == claim(run, grown)["workers"] == 2
    assert found["attempts"][struck - 1]["outcome"] == "worker_lost"
    assert before[0] not in autoscaled.spots()
    assert found["digest"] == reference


@needs_minutes
@pytest.mark.cluster
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("ray_home")
def test_a_group_of_fixed_size_is_given_its_nodes_and_another_one_for_a_lost_one(
    autoscaled: Autoscaled, reference: str, tmp_path: Path
) -> None:
    ardm = Ardm(str(tmp_path / "runs"))
    run = Run(Store(ardm.store), "fixed")
    wait_until(lambda: ports.answers(autoscaled.jobs))
    options = ("--workers", "2", "--address", autoscaled.jobs)
    ardm("submit", str(TINY), "--run", run.name, *options)
    wait_until(lambda: saved(run, 1))
    before = autoscaled.spots()
    for process in family(before[0].pid):
        kill(process)
    found = ardm.await_end(run.name)
    assert [a["workers"] for a in found["attempts"]] == [2, 2]
    assert [a["outcome"] for a in found["attempts"]] == ["worker_lost", "completed"]
    assert before[0] not in autoscaled.spots()
    assert found["digest"] == reference

"""Whole jobs on a real Ray, with real kills, against a directory and an emulated bucket."""

import time
from pathlib import Path

import psutil
import pytest

from ardm.chaos.nodes import WORKER, Nodes
from ardm.cluster import local, raylet
from ardm.events import event_log, kinds
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.cluster.conftest import (
    TINY,
    Ardm,
    at_rest,
    claim,
    idle,
    jobs_of,
    kill,
    saved,
    server,
    stopped,
    train_workers,
    wait_until,
)

pytestmark = pytest.mark.cluster

TICK = 22
"""Seconds after which Ray has looked for new resources (every 20)."""

SILENCE = 3.0
"""Seconds without an answer of the store, as Ray drains a node."""


@pytest.mark.timeout(900)
def test_a_job_survives_a_kill_and_a_notice_on_changing_nodes_and_is_pulled(
    cluster: Nodes, bucket: str, reference: str, tmp_path: Path
) -> None:
    ardm = Ardm(f"{bucket}/runs")
    run = Run(Store(ardm.store), "killed")
    both = {node.node_id: node for node in (cluster.add(), cluster.add())}
    pictures = ("--set", "evaluation.samples=4")
    options = ("--set", "scaling.workers=[1, 4]", *pictures, "--address", cluster.jobs)
    made = ardm.json("submit", str(TINY), "--run", run.name, *options)
    assert made["submission_id"] == "killed-1"

    wait_until(lambda: saved(run, 1))
    kill(cluster.processes(WORKER)[0])

    wait_until(lambda: saved(run, 2))
    drained = both[claim(run, 2)["nodes"][0]]
    begin = time.time()
    with stopped(server()):  # the save takes longer than a worker that has none needs to end
        raylet.drain(drained, "spot", 25)
        time.sleep(SILENCE)

    wait_until(lambda: saved(run, 3))
    (left,) = [node for node in cluster.nodes if node != drained]
    assert claim(run, 3)["nodes"] == [left.node_id]
    (worker,) = cluster.processes(WORKER, left)
    with stopped(worker):
        cluster.add()
        time.sleep(TICK)

    found = ardm.await_end(run.name)
    assert found["state"] == "completed"
    assert found["digest"] == reference
    attempts = found["attempts"]
    outcomes = ["worker_lost", "preempted", "resized", "completed"]
    assert [a["outcome"] for a in attempts] == outcomes
    assert [a["workers"] for a in attempts] == [2, 2, 1, 2]
    assert "Ray drains the node of rank" in attempts[1]["reason"]
    assert attempts[2]["reason"] == "the group grows from 1 to 2 workers; saved"
    assert [attempts[1]["steps_lost"], attempts[2]["steps_lost"]] == [0, 0]
    assert found["ray"] == {
        "address": cluster.jobs, "submission_id": "killed-1", "status": found["ray"]["status"],
    }  # fmt: skip
    last = kinds.last(event_log.read(run, 2), kinds.Saved)
    assert last
    print(f"\ndrain -> saved: {last.time - begin:.2f} s, {SILENCE} s of it no store")

    pulled = ardm.json("pull", run.name, "--to", str(tmp_path / "pulled"))
    assert pulled["digest"] == reference

    files = {name: run.store.names(f"{run.name}/{name}") for name in ("samples", "plots", "logs")}
    # An evaluation that a notice or a resize breaks off, as it may that at step 150, is left out.
    assert files["samples"] in (["00000300.png"], ["00000150.png", "00000300.png"])
    assert files["plots"] == ["completions.png", "loss-per-t.png", "loss.png"]
    assert len(files["logs"]) == 4
    assert "events.out.tfevents.000004.000001" in run.store.names(f"{run.name}/tensorboard")


def test_a_spare_takes_the_place_of_a_killed_worker_and_a_run_taken_over_meanwhile_is_let_go(
    ray: str, tmp_path: Path
) -> None:
    ardm = Ardm(str(tmp_path))
    run = Run(Store(ardm.store), "taken")
    endless = ("--set", "training.steps=1000000", "--set", "evaluation.every=1000000")
    warm = ("--set", "scaling.warm_spares=true")
    made = ardm.json("submit", str(TINY), "--run", run.name, *endless, *warm)
    wait_until(lambda: saved(run, 1))
    (worker,) = train_workers()
    worker.nice(19)  # it trains until the end of this test, beside others
    (spare,) = wait_until(lambda: [p for p in idle() if p.create_time() > worker.create_time()])
    wait_until(lambda: at_rest(spare))
    kill(worker)
    wait_until(lambda: saved(run, 2))
    assert claim(run, 2)["pid"] == spare.pid
    spare.nice(19)
    first = kinds.last(event_log.read(run, 2), kinds.FirstStep)
    assert first
    assert first.compile_s == 0

    client = jobs_of(ray)
    with ardm.begun("train", str(TINY), "--run", run.name, "--no-progress", *endless, *warm) as one:
        with stopped(spare):
            wait_until(lambda: saved(run, 3))
        wait_until(lambda: client.get_job_status(made["submission_id"]).is_terminal())
    assert one.returncode == 75
    assert "attempt 3 holds the run" in client.get_job_logs(made["submission_id"])
    found = ardm.status(run.name)
    assert [a["outcome"] for a in found["attempts"]] == ["worker_lost", "superseded", "preempted"]
    assert found["checkpoint"]["step"] == found["attempts"][2]["last_step"]
    assert found["digest"]


def test_a_machine_that_goes_before_the_first_save_uses_up_no_attempt(
    cluster: Nodes, tmp_path: Path, reference: str
) -> None:
    ardm = Ardm(str(tmp_path))
    run = Run(Store(ardm.store), "early")
    node = cluster.add()
    options = ("--set", "scaling.max_attempts_without_progress=1", "--address", cluster.jobs)
    ardm.json("submit", str(TINY), "--run", run.name, *options)
    wait_until(lambda: claim(run, 1))
    assert claim(run, 1)["nodes"] == [node.node_id]
    cluster.kill(node)
    assert not saved(run, 1)
    cluster.add()
    found = ardm.await_end(run.name)
    assert [a["outcome"] for a in found["attempts"]] == ["worker_lost", "completed"]
    assert found["digest"] == reference


def test_a_run_goes_on_with_other_workers_and_when_the_whole_cluster_is_gone(
    ray: str, tmp_path: Path, reference: str
) -> None:
    ardm = Ardm(str(tmp_path))
    run = Run(Store(ardm.store), "stopped")
    made = ardm.json("submit", str(TINY), "--run", run.name)
    wait_until(lambda: saved(run, 1))
    (worker,) = train_workers()
    with ardm.begun("stop", run.name) as stopping:
        with stopped(worker):  # it would be ready before the command has started
            wait_until(lambda: run.store.exists(run.stop_request(1)))
        assert stopping.wait(60) == 0
    found = ardm.status(run.name)
    assert [a["outcome"] for a in found["attempts"]] == [found["state"]] == ["stopped"]
    assert found["checkpoint"]["step"] == found["attempts"][0]["last_step"] < 300
    client = jobs_of(ray)
    wait_until(lambda: client.get_job_status(made["submission_id"]).value == "STOPPED")

    ardm("submit", str(TINY), "--run", run.name)
    early = ardm.json("stop", run.name)
    assert early["attempt"] is None or early["outcome"] == "stopped"
    wait_until(lambda: client.get_job_status("stopped-2").value == "STOPPED")
    before = max(run.attempts())

    options = ("--run", run.name, "--workers", "2", "--follow")
    with ardm.begun("submit", str(TINY), *options) as following:
        wait_until(lambda: saved(run, before + 1))
        assert following.poll() is None
    assert claim(run, before + 1)["submission"] == "stopped-3"
    ours = local.ours()
    assert ours
    for process in [psutil.Process(ours.pid), *psutil.Process(ours.pid).children(recursive=True)]:
        kill(process)
    # Ray's workers notice by themselves that their node is gone.
    wait_until(lambda: not train_workers(), 60)

    # The run that Ray began goes on without it.
    ardm("train", str(TINY), "--run", run.name, "--no-progress")
    found = ardm.status(run.name)
    assert (found["state"], found["digest"]) == ("completed", reference)
    assert [a["workers"] for a in found["attempts"]][-2:] == [2, 1]
    again = ardm.json("submit", str(TINY), "--run", run.name)
    assert again["submission_id"] is None

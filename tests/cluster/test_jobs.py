"""Whole jobs on a real Ray, with real kills, against a directory and an emulated bucket."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image
from ray.job_submission import JobSubmissionClient

from ardm.cluster import local
from ardm.runs import attempt
from ardm.runs.layout import Run
from ardm.runs.store import Store
from tests.cluster.conftest import (
    TINY,
    Ardm,
    claim,
    idle,
    kill,
    saved,
    train_workers,
    wait_until,
)

pytestmark = pytest.mark.cluster


def test_a_job_survives_kills_and_gives_digits(
    ray: str, bucket: str, reference: str, tmp_path: Path
) -> None:
    ardm = Ardm(f"{bucket}/runs")
    run = Run(Store(ardm.store), "killed")
    made = ardm.json("submit", str(TINY), "--run", run.name, "--workers", "2")
    assert made["submission_id"] == "killed-1"

    for number, victim in ((1, 0), (2, -1)):
        wait_until(lambda n=number: saved(run, n))
        kill(sorted(train_workers(), key=lambda p: p.pid)[victim])

    found = ardm.await_end(run.name)
    assert found["state"] == "completed"
    assert found["digest"] == reference
    assert [a["outcome"] for a in found["attempts"]] == ["worker_lost", "worker_lost", "completed"]
    assert found["ray"] == {
        "address": ray, "submission_id": "killed-1", "status": found["ray"]["status"],
    }  # fmt: skip

    pulled = ardm.json("pull", run.name, "--to", str(tmp_path / "pulled"))
    assert pulled["digest"] == reference
    png, gif = tmp_path / "grid.png", tmp_path / "chain.gif"
    options = ("--num", "9", "--steps", "8", "--out", str(png), "--chain", str(gif))
    drawn = ardm.json("sample", str(tmp_path / "pulled"), *options)
    assert drawn["digest"] == reference
    assert Image.open(png).size[0] >= 600
    assert Image.open(gif).n_frames == 9
    estimate = ardm.json("evaluate", run.name, "--images", "64")
    assert estimate["digest"] == reference
    assert 0 < estimate["nelbo_bpd"] < 1
    assert estimate["se_bpd"] > 0

    kinds = {name: run.store.names(f"{run.name}/{name}") for name in ("samples", "plots", "logs")}
    assert kinds["samples"] == ["00000300.png", "00000600.png"]
    assert kinds["plots"] == ["loss-per-t.png", "loss.png"]
    assert len(kinds["logs"]) == 3
    assert run.store.names(f"{run.name}/tensorboard/000003")[0].startswith("events.out.tfevents")


def test_a_spare_takes_the_place_of_a_killed_worker_and_a_run_taken_over_is_let_go(
    ray: str, tmp_path: Path
) -> None:
    ardm = Ardm(str(tmp_path))
    run = Run(Store(ardm.store), "taken")
    endless = ("--set", "training.steps=1000000", "--set", "evaluation.every=1000000")
    warm = ("--set", "scaling.warm_spares=true")
    made = ardm.json("submit", str(TINY), "--run", run.name, *endless, *warm)
    wait_until(lambda: saved(run, 1))
    (worker,) = train_workers()
    (spare,) = wait_until(lambda: [p for p in idle() if p.create_time() > worker.create_time()])
    kill(worker)
    wait_until(lambda: saved(run, 2))
    assert claim(run, 2)["pid"] == spare.pid

    assert attempt.claim(run, {"host": "a notebook"}) == 3
    client = JobSubmissionClient(ray)
    wait_until(lambda: client.get_job_status(made["submission_id"]).is_terminal())
    assert "attempt 3 holds the run" in client.get_job_logs(made["submission_id"])
    assert [a["outcome"] for a in ardm.status(run.name)["attempts"]] == [
        "worker_lost", "superseded", None,
    ]  # fmt: skip


def test_a_run_goes_on_with_other_workers_and_when_the_whole_cluster_is_gone(
    ray: str, tmp_path: Path, reference: str
) -> None:
    ardm = Ardm(str(tmp_path))
    run = Run(Store(ardm.store), "stopped")
    made = ardm.json("submit", str(TINY), "--run", run.name)
    wait_until(lambda: saved(run, 1))
    assert ardm.json("stop", run.name)["outcome"] == "stopped"
    found = ardm.status(run.name)
    assert found["state"] == "stopped"
    assert found["checkpoint"]["step"] == found["attempts"][0]["last_step"] < 600
    client = JobSubmissionClient(ray)
    wait_until(lambda: client.get_job_status(made["submission_id"]).value == "STOPPED")

    again = ardm.json("submit", str(TINY), "--run", run.name, "--workers", "2")
    assert again["submission_id"] == "stopped-2"
    wait_until(lambda: saved(run, 2))
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
    assert [a["workers"] for a in found["attempts"]] == [1, 2, 1]
    again = ardm.json("submit", str(TINY), "--run", run.name)
    assert again["submission_id"] is None


def test_down_ends_our_ray_with_its_node_agent_and_nothing_else(ray_home: Path) -> None:
    address = local.find_ours() or local.start()
    log = ray_home / "node-agent.log"
    wait_until(lambda: "watching over" in log.read_text())
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Ardm("unused")("down")
    assert not local.answers(address)
    wait_until(lambda: "has ended, and this agent with it" in log.read_text(), 20)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert "no local Ray" in Ardm("unused")("down").stderr

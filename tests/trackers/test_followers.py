"""Weights & Biases and MLflow, both without a network, through a run that is killed.

They are imported in the tests alone, because they take much memory.
"""

import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ardm.checkpoint import checkpoints
from ardm.errors import InputError
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from ardm.trackers import choose
from ardm.trackers.follower import Follower
from ardm.trackers.journal import Journal
from ardm.trackers.tracker import Picture, Record, Scalar, Text
from tests.runner.setting import JOB, tiny_spec
from tests.trackers.test_tensorboard import read

STEPS = 200

SETS = (
    f"training.steps={STEPS}", "checkpoint.interval=0.4", "trackers=[tensorboard,wandb,mlflow]",
    "evaluation={every: 100, images: 16, final_images: 16, samples: 4, sample_steps: 8}",
)  # fmt: skip


def curve(steps: Sequence[int]) -> list[Record]:
    return [Scalar("train/nelbo_bpd", step, float(step), 1 / step) for step in steps]


class Collecting:
    """A tracker that fails when it is told to."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.failing, self.closed = False, False

    def write(self, records: Sequence[Record]) -> None:
        if self.failing:
            raise OSError("no answer")
        self.steps += [record.step for record in records]

    def close(self) -> None:
        self.closed = True


def following(run: Run, tracker: Collecting, saved, attempt=1, first_step=1) -> Follower:
    journal = Journal(run, attempt, "collecting")
    return Follower("collecting", lambda: tracker, saved, first_step, journal)


def soon(true, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(true())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("ardm.trackers.follower.PAUSE_S", 0.02)


def test_a_step_is_passed_on_once_it_is_saved_and_all_are_when_no_other_attempt_comes(local_run):
    tracker, saved = Collecting(), [None]
    follower = following(local_run, tracker, lambda: saved[0])
    for record in curve(range(1, 11)):
        follower.add(record)
    time.sleep(0.1)
    assert tracker.steps == []
    saved[0] = 4
    assert soon(lambda: tracker.steps == [1, 2, 3, 4])
    follower.close(20.0, all_records=False)
    assert (tracker.steps, tracker.closed) == ([1, 2, 3, 4], True)

    last = following(local_run, tracker, lambda: 4, attempt=2, first_step=5)
    for record in curve(range(5, 11)):
        last.add(record)
    last.close(20.0, all_records=True)
    assert tracker.steps == list(range(1, 11))


def test_a_tracker_that_fails_gets_everything_later_and_one_that_hangs_delays_nothing(
    local_run, caplog
):
    tracker = Collecting()
    tracker.failing = True
    follower = following(local_run, tracker, lambda: 100)
    for record in curve(range(1, 6)):
        follower.add(record)
    assert soon(lambda: "collecting does not take the figures (OSError: no answer)" in caplog.text)
    tracker.failing = False
    assert soon(lambda: tracker.steps == [1, 2, 3, 4, 5])
    assert caplog.text.count("does not take") == 1

    never = threading.Event()
    hanging = Follower(
        "hanging",
        lambda: never.wait() and tracker,
        lambda: 100,
        1,
        Journal(local_run, 1, "hanging"),
    )
    hanging.add(curve([1])[0])
    begin = time.monotonic()
    hanging.close(0.2, all_records=True)
    assert time.monotonic() - begin < 10
    never.set()


@pytest.mark.parametrize("passed", [False, True], ids=["nothing passed on", "some passed on"])
def test_what_a_killed_attempt_did_not_pass_on_the_next_one_does(local_run, passed):
    tracker = Collecting()
    tracker.failing = not passed
    saved = [4]
    killed = following(local_run, tracker, lambda: saved[0])
    for record in curve(range(1, 11)):
        killed.add(record)
    if passed:
        assert soon(lambda: tracker.steps == [1, 2, 3, 4])
    killed.keep()  # before the checkpoint of step 8 is committed
    tracker.failing = False
    tracker, tracker_before = Collecting(), tracker.steps
    again = following(local_run, tracker, lambda: 12, attempt=2, first_step=9)
    for record in curve(range(9, 13)):
        again.add(record)
    assert soon(lambda: tracker_before + tracker.steps == list(range(1, 13)))
    again.close(20.0, all_records=False)
    killed.close(20.0, all_records=False)


def test_steps_that_are_taken_again_because_a_checkpoint_was_damaged_are_passed_on_once(local_run):
    tracker = Collecting()
    first = following(local_run, tracker, lambda: 10)
    for record in curve(range(1, 11)):
        first.add(record)
    assert soon(lambda: tracker.steps == list(range(1, 11)))
    first.close(20.0, all_records=False)
    second = following(local_run, tracker, lambda: 12, attempt=2, first_step=6)
    for record in curve(range(6, 13)):
        second.add(record)
    second.close(20.0, all_records=True)
    assert tracker.steps == list(range(1, 13))


def test_a_journal_keeps_every_kind_of_record_and_only_the_newest_attempt_s(local_run, monkeypatch):
    records = [*curve([3]), Text("texts", 3, 1.0, "a"), Picture("samples", 3, 1.0, b"\x89PNG")]
    Journal(local_run, 1, "wandb").write(2, records)
    second = Journal(local_run, 2, "wandb")
    assert second.read() == (2, records)
    second.write(3, [])
    assert local_run.store.names(f"{local_run.name}/trackers") == ["wandb-000002.json"]
    assert Journal(local_run, 3, "mlflow").read() == (0, [])
    monkeypatch.setattr("ardm.trackers.journal.MOST", 300)
    Journal(local_run, 2, "wandb").write(3, curve(range(1, 1000)))
    passed, kept = Journal(local_run, 3, "wandb").read()
    assert passed == 3
    assert 1 <= len(kept) < 10
    assert kept[-1].step == 999


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b'{"passed": 1, "records": [{"kind": "x"}]}'])
def test_a_torn_journal_counts_as_empty(local_run, torn):
    local_run.store.write(f"{local_run.name}/trackers/wandb-000001.json", torn)
    assert Journal(local_run, 2, "wandb").read() == (0, [])


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_created(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"wandb is not installed; pip install 'ardm\[wandb\]'"):
        choose.require(["tensorboard", "wandb"])
    choose.require(["tensorboard"])


def records_in(data: bytes) -> Iterator[Any]:
    """The records of a file of W&B (0.31): seven bytes, then the format of LevelDB's logs."""
    from wandb.proto.wandb_internal_pb2 import Record as WandbRecord

    at, whole = 7, b""
    while at + 7 <= len(data):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield WandbRecord.FromString(whole)
            whole = b""


def wandb_steps(folder: Path) -> tuple[set[str], list[list[int]]]:
    """The ids of the runs in the files of W&B, and the steps of each file."""
    ids, steps = set(), []
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        found = []
        for record in records_in(file.read_bytes()):
            if record.HasField("history"):
                found.append(record.history.step.num)
            if record.HasField("run"):
                ids.add(record.run.run_id)
        steps.append(found)
    return ids, steps


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_run_is_one_run_of_each_tracker_and_every_step_is_there_once(
    tmp_path, monkeypatch
):
    run = Run(Store(str(tmp_path / "runs")), "tracked")
    (tmp_path / "job.yaml").write_text(JOB)
    uri = f"file:{tmp_path / 'mlruns'}"
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    ardm = Path(sys.executable).with_name("ardm")
    sets = [word for one in SETS for word in ("--set", one)]
    options = ["--store", run.store.uri, "--run", run.name, *sets]
    command = [ardm, "train", str(tmp_path / "job.yaml"), *options, "--no-progress"]
    with subprocess.Popen(command) as first:
        assert soon(lambda: any(place.step > 40 for place in checkpoints.committed(run)), 150)
        first.kill()
    subprocess.run(command, check=True, timeout=200)

    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "ardm"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["training.steps"] == str(STEPS)
    steps = [m.step for m in client.get_metric_history(found.info.run_id, "train/nelbo_bpd")]
    assert steps == list(range(1, STEPS + 1))
    assert client.list_artifacts(found.info.run_id, "images")

    identity = registry.identity(run)
    ids, files = wandb_steps(tmp_path)
    assert ids == {identity}
    flat = [step for steps in files for step in steps]
    assert flat == list(range(1, STEPS + 1))
    assert [point.step for point in read(run).Scalars("train/nelbo_bpd")] == flat


def test_the_trackers_of_a_run_may_change():
    old, new = tiny_spec(), tiny_spec("trackers=[mlflow]")
    assert registry.conflicts(old, new) == []

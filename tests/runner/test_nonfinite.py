"""Runs whose numbers are not finite: what is kept, recorded, shown and drawn from."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from ardm.analysis import goodput
from ardm.analysis.status import status
from ardm.checkpoint import checkpoints, serialization
from ardm.checkpoint.digest import digest, not_finite_part
from ardm.checkpoint.pull import pull
from ardm.errors import NotFound
from ardm.events import kinds, records
from ardm.events.events import Outcome
from ardm.loading import load
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.training.group import Alone
from tests.cli.conftest import Here
from tests.runner.invented import add_attempt, ended, new_run, restored, started
from tests.runner.setting import JOB, Acting, events, newest_digest, opened, tiny_spec
from tests.training.setting import together

pytestmark = pytest.mark.slow


DIVERGES = ("training.learning_rate=1e30", "training.clip=null")
SOME = (
    "training.ce_weight=1.8e19",
    "training.learning_rate=1e-5",
    "training.clip=null",
    "training.on_nonfinite=skip",
)
"""The norm of some gradients overflows, and that of the others does not."""


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def assert_strict(run) -> None:
    """No file of the run's records holds a number that JSON does not have."""
    files = run.store.fs.find(run.store.path(run.name))
    texts = [run.store.fs.cat_file(f).decode() for f in files if f.endswith((".jsonl", ".json"))]
    lines = [line for text in texts for line in ([text] if "\n " in text else text.splitlines())]
    assert len(lines) > 5
    for line in lines:
        json.loads(line, parse_constant=refuse)


@pytest.mark.parametrize("size", [1, 2])
def test_a_run_that_diverges_keeps_its_newest_finite_checkpoint(local_run, size):
    spec = tiny_spec(*DIVERGES)
    run = opened(local_run.store.uri, "diverges", spec)
    found = together(size, lambda member: run_attempt(run, spec, Context(member, Notice())))
    assert {ended.outcome for ended in found} == {"diverged"}
    assert {ended.step for ended in found} == {2}
    assert Outcome.DIVERGED.ends_the_job
    kept = checkpoints.committed(run)
    assert kept
    for place in kept:
        assert place.step <= 2
        checkpoints.verify(place)
    ended = events(run, 1, kinds.Ended)[0]
    assert (ended.outcome, ended.step) == ("diverged", 2)
    assert ended.reason.startswith("step 3: the loss or the gradient is not finite (loss nan ")
    assert f"The newest checkpoint is of step {kept[0].step}." in ended.reason
    assert events(run, 1, kinds.WorkerFailed) == []
    assert status(run, {})["state"] == "failed"
    assert_strict(run)


def test_steps_left_out_are_counted_and_leave_gaps_in_what_is_recorded(local_run):
    spec = tiny_spec(*DIVERGES, "training.on_nonfinite=skip", "evaluation.every=8")
    run = opened(local_run.store.uri, "skips", spec)
    assert run_attempt(run, spec, Context(Alone(), Notice())).outcome == "completed"
    told = status(run, {})
    # Two steps were taken, and the parameters that they led to evaluate to nothing finite.
    assert told["skipped_steps"] == 22
    assert [e.step for e in events(run, 1, kinds.SkippedStep)] == list(range(3, 25))
    assert [e.nelbo_bpd for e in events(run, 1, kinds.Evaluated)] == [None] * 4
    assert (told["metrics"]["test_step"], told["metrics"]["test_nelbo_bpd"]) == (24, None)
    assert_strict(run)
    ardm = Here(run.store.uri)
    shown = ardm("status", run.name).output
    assert "22 steps that were not finite" in shown
    assert "not finite at step 24" in shown
    assert "22 steps that were not finite" in ardm("report", run.name).output
    evaluated = ardm("evaluate", run.name, "--images", "4", "--json").stdout
    found = json.loads(evaluated, parse_constant=refuse)
    assert (found["step"], found["nelbo_bpd"], found["se_bpd"]) == (24, None, None)


class Command:
    """`ardm train` as a process of its own."""

    def __init__(self, store: str, name: str, folder: Path, *changes: str) -> None:
        (folder / "job.yaml").write_text(JOB)
        ardm = Path(sys.executable).with_name("ardm")
        sets = [item for change in changes for item in ("--set", change)]
        self.process = subprocess.Popen(
            [ardm, "train", folder / "job.yaml", "--store", store, "--run", name, "--json", *sets],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def test_a_run_that_leaves_steps_out_has_the_same_digest_after_a_kill(shared_store, tmp_path):
    spec = tiny_spec(*SOME, "training.steps=90")
    whole = opened(shared_store, "skips-whole", spec)
    assert run_attempt(whole, spec, Context(Alone(), Notice())).outcome == "completed"
    killed = opened(shared_store, "skips-killed", spec)
    command = Command(shared_store, "skips-killed", tmp_path, *SOME, "training.steps=90")
    deadline = time.monotonic() + 120
    while not checkpoints.committed(killed):
        assert command.process.poll() is None, command.process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    command.process.send_signal(signal.SIGKILL)
    command.process.communicate(timeout=60)
    assert checkpoints.committed(killed)[0].step < 90
    assert run_attempt(killed, spec, Context(Alone(), Notice())).outcome == "completed"
    assert newest_digest(killed) == newest_digest(whole)
    left_out = status(whole, {})["skipped_steps"]
    assert 0 < left_out < 90, "change ce_weight of SOME"
    # Of the killed attempt, the events of its last second did not reach the store.
    resumed = events(killed, 2, kinds.Restored)[0].step
    of_whole, of_killed = (
        {e.step for n in run.attempts() for e in events(run, n, kinds.SkippedStep)}
        for run in (whole, killed)
    )
    assert {step for step in of_whole if step > resumed} <= of_killed <= of_whole


def test_the_command_line_ends_with_code_3_and_says_what_to_do(shared_store, tmp_path):
    command = Command(shared_store, "diverges", tmp_path, *DIVERGES)
    out, said = command.process.communicate(timeout=120)
    assert command.process.returncode == 3, said
    assert json.loads(out) == {"run": "diverges", "outcome": "diverged", "step": 2}
    for part in ("step 3", "loss nan bits/dim", "gradient norm nan", "learning_rate", "--override"):
        assert part in said
    assert "Traceback" not in said


def train_some_steps(run) -> None:
    notice = Notice()
    group = Acting(lambda number: number == 5 and setattr(notice, "reason", "spot"))
    assert run_attempt(run, tiny_spec(), Context(group, notice)).outcome == "preempted"


@pytest.fixture
def saved_by_an_earlier_version(local_run):
    """A run whose newest checkpoint verifies and holds NaN; gives the step of the one before."""
    train_some_steps(local_run)
    good = checkpoints.committed(local_run)[0]
    state, metadata = read(good)
    state["params"][3] = np.nan
    bad = checkpoints.Checkpoint(local_run, 1, 8)
    checkpoints.save(bad, state, metadata | {"step": 8, "digest": digest(state)})
    return local_run, good.step


def read(place):
    """The arrays of a checkpoint as they are, and its metadata."""
    folder = Path(place.run.store.path(place.name))
    state, metadata = serialization.load_any(folder)
    return jax.tree.map(np.array, state), metadata


def test_a_checkpoint_that_is_not_finite_is_passed_over(saved_by_an_earlier_version, tmp_path):
    run, step = saved_by_an_earlier_version
    assert next(place.step for place in checkpoints.committed(run)) == 8
    told = status(run, {})
    assert told["checkpoint"]["step"] == step
    assert told["skipped"][0]["reason"] == "holds values that are not finite (params)"
    warned: list[str] = []
    assert load(run.name, run.store, warned.append).step == step
    assert "not finite (params)" in warned[0]
    copied = pull(run, tmp_path / "pulled")
    assert (copied["step"], copied["skipped"][0]["step"]) == (step, 8)
    ended = run_attempt(run, tiny_spec(), Context(Alone(), Notice()))
    assert ended.outcome == "completed"
    assert events(run, 2, kinds.Restored)[0].step == step


def test_nothing_is_drawn_from_a_run_without_a_finite_checkpoint(local_run, tmp_path):
    train_some_steps(local_run)
    for place in checkpoints.committed(local_run):
        state, metadata = read(place)
        state["ema"][0] = np.inf
        assert not_finite_part(state) == "ema"
        checkpoints.save(place, state, metadata | {"digest": digest(state)})
    with pytest.raises(NotFound):
        load(local_run.name, local_run.store, lambda _: None)
    with pytest.raises(NotFound, match=r"not finite \(ema\)"):
        pull(local_run, tmp_path / "pulled")


def skipped(time: float, step: int):
    return kinds.SkippedStep(time=time, step=step, reason="because")


def test_a_step_done_again_counts_as_it_was_left_last(tmp_path):
    run = new_run(tmp_path)
    add_attempt(run, started(1, 0.1), skipped(2, 5), skipped(3, 9), skipped(4, 12), began=0)
    add_attempt(run, began=10)
    add_attempt(run, restored(21, 8, 0.1), skipped(22, 9), skipped(23, 20), began=20)
    add_attempt(run, restored(31, 15, 0.1), ended(32, 30, "completed"), began=30)
    assert goodput.skipped_steps(goodput.records(run)) == 2


def test_the_record_of_an_attempt_that_leaves_out_many_steps_stays_small(tmp_path):
    run = new_run(tmp_path)
    many = records.KEPT_SKIPPED + 50
    add_attempt(run, started(1, 0.1), *(skipped(2, step) for step in range(many)), began=0)
    (found,) = goodput.records(run)
    assert len(found.skipped) == records.KEPT_SKIPPED
    assert goodput.skipped_steps([found]) == many

"""Bad input as a person meets it: one message, the right exit code, nothing started or lost."""

from pathlib import Path

import pytest

from ardm.chaos import emulator as gcs_emulator
from ardm.chaos import storage_faults
from ardm.chaos.storage_faults import Fault
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.events.events import Outcome
from ardm.store import claims, registry
from ardm.store.store import AT_THE_DOOR
from tests.cli.conftest import Here
from tests.cluster.conftest import TINY, Ardm
from tests.runner.setting import opened, save

pytestmark = pytest.mark.slow


@pytest.fixture
def ardm(tmp_path: Path) -> Here:
    return Here(str(tmp_path / "runs"))


def test_all_faults_of_a_job_file_are_told_at_once(ardm: Here, tmp_path: Path) -> None:
    job = tmp_path / "bad.yaml"
    job.write_text(
        "job: bad\n"
        "training: {lerning_rate: 0.1, steps: many, grad_shards: 3}\n"
        "data: {source: bundeld}\n"
        "chekpoint: {interval: 5}\n"
    )
    for command in ("validate", "submit", "train"):
        said = ardm(command, str(job), code=2).output
        assert str(job) in said
        assert "training.lerning_rate: unknown key; did you mean 'learning_rate'?" in said
        assert "training.steps" in said
        assert "'many'" in said
        assert "did you mean 'bundled'?" in said
        assert "chekpoint: unknown key; did you mean 'checkpoint'?" in said
        assert "Traceback" not in said
    assert not Path(ardm.store).exists()


@pytest.mark.parametrize("odd", ["\\[/x]", "[/x]", "\\\\[bold]", "[b]x"])
def test_brackets_in_a_message_are_no_markup(ardm: Here, tmp_path: Path, odd: str) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("job: a")
    assert f"--set {odd}: expected" in ardm("validate", str(job), "--set", odd, code=2).stderr


def test_brackets_in_a_reason_are_no_markup(tmp_path: Path) -> None:
    run = opened(str(tmp_path / "runs"))
    events = EventLog(run, claims.claim(run, {}))
    events.add(kinds.Ended(outcome=Outcome.FAILED, step=0, reason="[My] [/Drive]"))
    events.flush()
    assert "failed  [My] [/Drive]" in Here(run.store.uri)("status", run.name).stdout


def test_no_workers_are_not_taken_for_the_usual_ones(ardm: Here) -> None:
    said = ardm("submit", str(TINY), "--workers", "0", code=2).output
    assert "scaling.workers: expected a number of workers" in said


def test_fewer_steps_than_done_are_refused_by_train_and_submit(ardm: Here) -> None:
    run = opened(ardm.store, "mine")
    save(run, 1, 20)
    few = ("--run", "mine", "--override", "--set", "training={steps: 10, warmup: 0}")
    for command in ("train", "submit"):
        said = ardm(command, str(TINY), *few, code=2).stderr
        assert "run mine has done 20 steps, which is more than training.steps=10" in said
    assert registry.read_spec(run).training.steps == 24


def test_a_missing_job_file(ardm: Here) -> None:
    assert "nothing.yaml" in ardm("submit", "nothing.yaml", code=2).output


def test_a_missing_bucket_is_told(emulator: str) -> None:
    said = Ardm("gs://no-such-bucket/runs")("submit", str(TINY), code=2).stderr
    assert "gs://no-such-bucket/runs" in said
    assert "Create the bucket" in said


@pytest.mark.parametrize("kind", ["silent", "closed"])
def test_a_store_that_cannot_be_reached_is_told_at_submit(
    emulator: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    assert AT_THE_DOOR <= 5
    with storage_faults.serve(emulator) as proxy:
        proxy.inject(Fault("silence"))
        closed = f"http://127.0.0.1:{gcs_emulator.free_port()}"
        address = proxy.address if kind == "silent" else closed
        for name, value in gcs_emulator.settings(address).items():
            monkeypatch.setenv(name, value)
        said = Ardm("gs://any/runs")("submit", str(TINY), code=2).stderr
    assert "cannot be reached" in said
    assert address in said


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    said = Ardm(str(tmp_path / "file"))("submit", str(TINY), code=2).stderr
    assert "cannot be written" in said


def test_unknown_runs(ardm: Here) -> None:
    options = ("--set", "training.steps=1", "--set", "training.warmup=0", "--no-progress")
    ardm("train", str(TINY), "--run", "known", *options)
    for command in ("status", "watch", "logs", "stop", "pull", "sample", "evaluate", "report"):
        said = ardm(command, "unknown", code=4).output
        assert "no run 'unknown'" in said
        assert "known" in said.partition("Known runs:")[2]
    assert "no run of job 'other'" in ardm("status", "--job", "other", code=4).output


def test_another_spec_is_refused_with_the_differences(ardm: Here) -> None:
    once = ("--run", "mine", "--no-progress", "--set", "training.warmup=0")
    ardm("train", str(TINY), *once, "--set", "training.steps=1")
    changed = (*once, "--set", "training.steps=2", "--set", "seed=1")
    said = ardm("train", str(TINY), *changed, code=2).output
    assert "training.steps: 1 -> 2" in said
    assert "seed: 0 -> 1" in said
    ardm("train", str(TINY), *once, "--set", "training.steps=2", "--override")
    assert ardm.json("status", "mine")["step"] == 2
    assert (
        "training.steps: 2 -> 1"
        in ardm("train", str(TINY), *once, "--set", "training.steps=1", code=2).output
    )


def test_help_tells_the_exit_codes(ardm: Here) -> None:
    said = " ".join(ardm("--help").output.split())
    for code in ("0 done", "2 bad input", "3 the job failed", "75 interrupted"):
        assert code in said

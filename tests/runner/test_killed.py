"""The real command `ardm train`, killed, frozen and told to end."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ardm.checkpoint import checkpoints
from ardm.events import kinds
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from ardm.training.group import Alone
from tests.runner.setting import JOB, events, files_of, newest_digest, opened, tiny_spec

STEPS = 90
LONGER = f"training.steps={STEPS}"


@pytest.fixture(scope="module")
def uninterrupted(shared_store):
    """The digest of the job trained in one go."""
    spec = tiny_spec(LONGER)
    run = opened(shared_store, "in-one-go", spec)
    assert run_attempt(run, spec, Context(Alone(), Notice())).outcome == "completed"
    return newest_digest(run)


class Command:
    """`ardm train` on a run of the shared store, as a process of its own."""

    def __init__(self, store: str, name: str, folder: Path) -> None:
        job = folder / "job.yaml"
        job.write_text(JOB)
        self.run = Run(Store(store), name)
        self.log = folder / "log"
        ardm = Path(sys.executable).with_name("ardm")
        options = ["--store", store, "--run", name, "--set", LONGER, "--json"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [ardm, "train", job, *options], stdout=subprocess.PIPE, stderr=log
            )

    def wait_for_save_beyond(self, step: int) -> int:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = checkpoints.committed(self.run)
            if found and found[0].step > step:
                return found[0].step
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def end(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=120)
        return self.process.returncode, out.decode()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_run_killed_twice_ends_with_the_bits_of_the_uninterrupted_one(
    shared_store, uninterrupted, tmp_path
):
    saved = 0
    for _ in range(2):
        command = Command(shared_store, "killed", tmp_path)
        saved = command.wait_for_save_beyond(saved)
        command.process.kill()
        command.process.wait(30)
    assert saved < STEPS
    command = Command(shared_store, "killed", tmp_path)
    code, out = command.end()
    assert code == 0, command.log.read_text()
    assert json.loads(out) == {"run": "killed", "outcome": "completed", "step": STEPS}
    assert newest_digest(command.run) == uninterrupted
    assert command.run.attempts() == [1, 2, 3]
    assert events(command.run, 3, kinds.Restored)[0].step >= saved
    assert [events(command.run, n, kinds.Ended) for n in (1, 2)] == [[], []]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_told_to_end_saves_its_step_and_says_how_to_go_on(
    shared_store, uninterrupted, tmp_path
):
    command = Command(shared_store, "told", tmp_path)
    command.wait_for_save_beyond(0)
    command.process.send_signal(signal.SIGTERM)
    code, out = command.end()
    said = command.log.read_text()
    assert code == 75, said
    told = json.loads(out)
    assert (told["run"], told["outcome"]) == ("told", "preempted")
    assert 0 < told["step"] < STEPS
    assert newest_digest(command.run)[0] == told["step"]
    assert "go on with the same command and --run told" in said
    ended = run_attempt(command.run, registry.read_spec(command.run), Context(Alone(), Notice()))
    assert ended.outcome == "completed"
    assert newest_digest(command.run) == uninterrupted


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_process_that_comes_back_from_the_dead_ends_and_harms_nothing(
    shared_store, uninterrupted, tmp_path
):
    frozen = Command(shared_store, "frozen", tmp_path)
    try:
        saved = frozen.wait_for_save_beyond(0)
        frozen.process.send_signal(signal.SIGSTOP)
        successor = Command(shared_store, "frozen", tmp_path)
        code, _ = successor.end()
        assert code == 0, successor.log.read_text()
        assert newest_digest(successor.run) == uninterrupted
        before = of_attempt(successor.run, 2)
        frozen.process.send_signal(signal.SIGCONT)
        code, out = frozen.end()
    finally:
        frozen.process.kill()
    assert (code, json.loads(out)["outcome"]) == (3, "superseded"), frozen.log.read_text()
    assert saved <= json.loads(out)["step"] < STEPS
    assert "attempt 2 holds the run now. This one ends; nothing is lost." in frozen.log.read_text()
    assert of_attempt(successor.run, 2) == before
    assert newest_digest(successor.run) == uninterrupted


def of_attempt(run: Run, number: int) -> list[dict[str, bytes]]:
    """The files of its checkpoints."""
    return [files_of(place) for place in checkpoints.committed(run) if place.attempt == number]

"""Whole trainings on `gs://` through a proxy that makes trouble: nothing is lost, nothing hangs."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import gcsfs
import pytest
from orbax.checkpoint._src.path import gcs_utils  # private: keeps clients
from typer.testing import CliRunner

from ardm import filesystem, outages
from ardm.chaos import emulator as gcs_emulator
from ardm.chaos import storage_faults
from ardm.chaos.storage_faults import Fault
from ardm.checkpoint import checkpointer, checkpoints, restore
from ardm.checkpoint.digest import digest
from ardm.cli.main import app
from ardm.events import kinds
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.runner.setting import (
    JOB,
    NOW,
    Acting,
    events,
    like,
    newest_digest,
    opened,
    quick_timings,
    save,
    small_state,
    tiny_spec,
)

STEPS = 24
OUTAGE = float(os.environ.get("ARDM_TEST_OUTAGE", "10"))
"""Seconds."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    # Orbax (0.12.8) leaves an event loop behind where a call fails.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(checkpointer, "SILENCE", 3.0)


@pytest.fixture(scope="module")
def proxy(emulator: str):
    """In front of the emulator, for everything in this process."""
    with storage_faults.serve(emulator) as proxy, pytest.MonkeyPatch.context() as m:
        for name, value in gcs_emulator.settings(proxy.address).items():
            m.setenv(name, value)
        forget_addresses()
        yield proxy
    forget_addresses()


def forget_addresses() -> None:
    """Clients that Orbax keeps know the address that they began with."""
    gcsfs.GCSFileSystem.clear_instance_cache()
    gcs_utils.get_bucket.cache_clear()


class Watch:
    """Looks at the newest committed checkpoint all the time, past the proxy."""

    def __init__(self, emulator: str, run: Run) -> None:
        with pytest.MonkeyPatch.context() as m:
            m.setenv("STORAGE_EMULATOR_HOST", emulator)
            self.fs = Store(run.store.uri).fs
        self.pattern = f"{run.store.root}/{run.checkpoints_dir}/*/*/commit_success.txt"
        self.seen: list[int] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self) -> None:
        while not self.over.wait(0.1):
            self.seen.append(self.newest())

    def newest(self) -> int:
        return max((int(path.split("/")[-2]) for path in self.fs.glob(self.pattern)), default=0)

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(30)


@pytest.fixture
def stormy(emulator, proxy, bucket):
    """A new run in a bucket behind the proxy, whose newest checkpoint is watched."""
    run = opened(f"{bucket}/runs")
    with Watch(emulator, run) as watch:
        yield run
    proxy.heal()
    assert watch.seen == sorted(watch.seen), "a newest good checkpoint was removed"


def at_ease(step: int) -> None:
    """Nothing happens at a step."""


def go(run, act=at_ease, *changes, timings=None):
    context = Context(Acting(act), Notice(), timings=timings or quick_timings(0.5))
    return run_attempt(run, tiny_spec(*changes), context)


def assert_as_undisturbed(run, finished, ended) -> None:
    assert (ended.outcome, ended.step) == ("completed", STEPS), ended.detail
    assert newest_digest(run) == newest_digest(finished)
    assert run.store.names(f"{run.name}/damaged") == []


def test_training_and_restoring_go_on_through_faults_of_many_requests(stormy, proxy, finished):
    """A save takes some requests one after the other; each failed one costs a second or two."""
    seldom = "checkpoint.interval=1000", "checkpoint.keep_every=12"
    registry.open_run(stormy, tiny_spec(*seldom), NOW, override=True)
    faults, over = ["429", "500", "503", "slow", "cut", "lost", "body"], threading.Event()
    before = Counter(proxy.counts)

    def turn() -> None:
        for kind in itertools.cycle(faults):
            proxy.inject(Fault(kind, share=0.12, delay=0.5))
            if over.wait(0.3):
                return

    turning = threading.Thread(target=turn)
    turning.start()
    try:
        once, again = go(stormy, at_ease, *seldom), go(stormy, at_ease, *seldom)
    finally:
        over.set()
        turning.join(10)
        proxy.heal()
    for ended in (once, again):
        assert_as_undisturbed(stormy, finished, ended)
    assert sum((proxy.counts - before)[kind] for kind in faults) > 1
    assert events(stormy, 2, kinds.Restored)[0].step == STEPS
    ends = [e.outcome for number in (1, 2) for e in events(stormy, number, kinds.Ended)]
    assert ends == ["completed", "completed"]


def test_training_goes_on_through_a_full_outage_and_saves_resume(stormy, proxy, finished):
    during = []

    def act(step: int) -> None:
        if step == 6:
            proxy.inject(Fault("outage", seconds=OUTAGE))
            during.append(time.monotonic())
        if step > 6 and time.monotonic() < during[0] + OUTAGE:
            during.append(time.monotonic())
            time.sleep(OUTAGE / 10)

    ended = go(stormy, act)
    # Training stood still for nothing but its own sleep.
    assert len(during) >= 10
    assert_as_undisturbed(stormy, finished, ended)
    saved = [e.step for e in events(stormy, 1, kinds.Saved)]
    assert [e.outcome for e in events(stormy, 1, kinds.Ended)] == ["completed"]
    assert saved[-1] == STEPS


def test_status_shows_the_age_of_the_last_checkpoint_and_why_there_is_no_newer_one(
    stormy, proxy, finished
):
    told = []

    def status() -> dict:
        command = ["status", stormy.name, "--store", stormy.store.uri, "--json"]
        return json.loads(CliRunner().invoke(app, command).stdout)

    def act(step: int) -> None:
        if step == 8:
            wait_for(lambda: checkpoints.committed(stormy))
            proxy.inject(Fault("503", under="checkpoints%2F000001%2F", writes=True))
        if 8 < step < 16:
            time.sleep(0.5)  # a save that was under way ends, and the next one begins
        if step == 16:
            wait_for(lambda: status()["save_error"])
            told.append(status())
            time.sleep(1.5)
            told.append(status())
            proxy.heal()

    ended = go(stormy, act)
    assert_as_undisturbed(stormy, finished, ended)
    told.append(status())
    first, second, last = told
    assert second["checkpoint"]["age_s"] > first["checkpoint"]["age_s"] + 1
    assert first["checkpoint"]["step"] == second["checkpoint"]["step"] < 16
    assert "is being saved for" in first["save_error"] or "503" in first["save_error"]
    assert last["save_error"] is None
    assert last["digest"] == newest_digest(finished)[1]


def test_an_outage_before_the_claim_is_waited_out(stormy, proxy, finished):
    proxy.inject(Fault("outage", seconds=4.0))
    ended = go(stormy)
    assert_as_undisturbed(stormy, finished, ended)
    assert stormy.attempts() == [1]


def test_a_store_that_stays_down_at_the_claim_is_an_outcome(stormy, proxy, monkeypatch):
    monkeypatch.setattr(filesystem, "SMALL", 1.0)
    proxy.inject(Fault("silence"))
    begin = time.monotonic()
    ended = go(stormy, timings=quick_timings(0.5, claim=3.0))
    assert (ended.outcome, ended.step) == ("storage_fault", 0)
    assert time.monotonic() - begin < 10
    proxy.heal()
    assert stormy.attempts() == []


def test_a_store_that_does_not_answer_is_never_taken_for_a_damaged_checkpoint(
    stormy, proxy, monkeypatch
):
    """Else a good checkpoint would be moved aside, and the steps since the one before be lost."""
    place = save(stormy, 1, 4)
    monkeypatch.setattr(filesystem, "LARGE", 1.0)
    passed = []

    def newest():
        return restore.newest_verified(
            stormy,
            like(small_state(0)),
            lambda *skipped: passed.append(skipped),
            fall_back=False,
        )

    proxy.inject(Fault("503", under="manifest.ocdbt"))
    with pytest.raises(TimeoutError) as caught:
        newest()
    assert outages.of_the_store(caught.value)
    proxy.heal()
    found = newest()
    assert found is not None
    assert (found[0], digest(found[1])) == (place, digest(small_state(4)))
    assert passed == []


def test_a_notice_while_the_store_is_silent_ends_the_process_in_time(stormy, proxy, tmp_path):
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    process = subprocess.Popen(
        [Path(sys.executable).with_name("ardm"), "train", job, "--store", stormy.store.uri,
         "--run", stormy.name, "--set", "training.steps=100000", "--override", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(lambda: checkpoints.committed(stormy), 120)
        proxy.inject(Fault("silence"))
        time.sleep(1)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        took = time.monotonic() - begin
    finally:
        process.kill()
    proxy.heal()
    assert process.returncode == 3, said
    assert "could not be saved" in said
    assert took < 29, said  # Google gives 30 s
    assert checkpoints.committed(stormy)


def wait_for(ask, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.1)

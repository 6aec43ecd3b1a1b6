"""Runs on a real mounted drive (FUSE) that can do less than a disk."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ardm.checkpoint import checkpoints
from ardm.data import cache
from ardm.events import kinds
from ardm.store import claims, durable
from ardm.store.durable import Abilities
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests import drive
from tests.runner.setting import JOB, events, newest_digest, opened, save

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(drive.why_not() is not None, reason=str(drive.why_not())),
]

ARDM = Path(sys.executable).with_name("ardm")
STEPS = 400


@pytest.fixture
def root(tmp_path):
    with drive.mounted(tmp_path / "cloud", tmp_path / "My Drive", "--lag", "0.2") as mount:
        yield mount


def test_what_a_drive_cannot_do_is_found_out_and_said(root, tmp_path):
    found = durable.probe(root)
    assert found == Abilities(links=False, renames_directories=False)
    assert "no hard links: checkpoints are written to a temporary folder" in str(found.caveat())
    assert list((tmp_path / "cloud").iterdir()) == []
    assert durable.probe(tmp_path) == Abilities()
    assert Abilities().caveat() is None
    assert durable.probe(tmp_path / "absent") == Abilities()


def test_a_store_on_a_drive_does_all_that_a_store_does(root):
    store = Store(str(root / "runs"))
    store.check()
    store.create("r/claim", b"1")
    with pytest.raises(FileExistsError):
        store.create("r/claim", b"2")
    for data in (b"a", b"b" * 100000):
        store.write("r/x", data)
        assert store.read("r/x") == data
        store.write("r/x", data + b"c", lasting=True)
    assert store.read("r/x") == b"b" * 100000 + b"c"
    time.sleep(0.3)
    store.move_tree("r", "q")
    assert store.read("q/claim") == b"1"
    assert store.read("r/claim") is None
    store.remove_tree("q")
    assert store.read("q/x") is None


def test_prepared_data_are_published_there(root):
    url = str(root / "_shared" / "data" / "x")
    assert cache.publish(url, b"one") == b"one"
    assert cache.publish(url, b"two") == b"one"
    assert cache.fetch(url) == b"one"


def test_a_checkpoint_is_there_once_its_last_file_is(root):
    run = opened(str(root / "runs"))
    place = save(run, 1, 3)
    assert checkpoints.committed(run) == [place]
    assert checkpoints.verify(place)["step"] == 3
    assert len(checkpoints.entries(run)[0].files) == 5
    Path(run.store.path(place.name), "commit_success.txt").unlink()
    time.sleep(0.3)
    assert checkpoints.committed(run) == []


def test_of_two_machines_that_create_one_claim_the_last_to_write_has_it(tmp_path):
    """Both have seen that there is none, and the drive does not look again."""
    options = ("--not-exclusive", "--lag", "5")
    numbers: dict[int, Run] = {}
    with (
        drive.mounted(tmp_path / "cloud", tmp_path / "one", *options) as one,
        drive.mounted(tmp_path / "cloud", tmp_path / "other", *options) as other,
    ):
        runs = [Run(Store(str(root)), "raced") for root in (one, other)]

        def claim(run: Run) -> None:
            numbers[claims.claim(run, {"token": run.store.uri})] = run

        (tmp_path / "cloud" / "raced" / "attempts").mkdir(parents=True)
        assert not any(run.store.exists(run.claim(1)) for run in runs)
        threads = [threading.Thread(target=claim, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        # A claim that is read while the other one overwrites it may be unreadable to both.
        assert len(numbers) == 2
        newest = max(numbers)
        assert claims.newer(numbers[newest], newest, "of a claim that was overwritten") == newest
        assert claims.newer(numbers[newest], newest) is None


@pytest.mark.timeout(300)
def test_a_run_on_a_drive_survives_kills_and_a_second_attempt_with_equal_bits(root, tmp_path):
    job = tmp_path / "tiny.yaml"
    job.write_text(JOB)
    run = Run(Store(str(root / "runs")), "tiny-1")

    # The same files, seen at once.
    behind = Run(Store(str(tmp_path / "cloud" / "runs")), run.name)
    finished = Run(Store(str(tmp_path / "disk")), run.name)

    def begin(run: Run = run) -> subprocess.Popen[str]:
        where = ["--run", run.name, "--store", run.store.uri]
        return subprocess.Popen(
            [ARDM, "train", str(job), *where, "--set", f"training.steps={STEPS}", "--no-progress"],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_save(process: subprocess.Popen[str], number: int) -> None:
        deadline = time.monotonic() + 120
        while not any(place.attempt == number for place in checkpoints.committed(behind)):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    killed = begin()
    wait_for_save(killed, 1)
    killed.send_signal(signal.SIGKILL)
    assert "this drive has no hard links" in killed.communicate()[1]

    frozen = begin()
    wait_for_save(frozen, 2)
    frozen.send_signal(signal.SIGSTOP)
    last = begin()
    wait_for_save(last, 3)
    frozen.send_signal(signal.SIGCONT)
    assert begin(finished).wait(120) == 0
    assert last.wait(120) == 0, last.communicate()[1]
    assert frozen.wait(120) in (0, 3), frozen.communicate()[1]
    assert newest_digest(run) == newest_digest(finished)
    assert newest_digest(run)[0] == STEPS
    assert [e.outcome for e in events(run, 3, kinds.Ended)] == ["completed"]
    assert run.store.names(f"{run.name}/damaged") == []

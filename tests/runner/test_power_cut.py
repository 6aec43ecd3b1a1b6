"""A power cut: what the disk holds at that moment is all that is left, and it is enough.

An ext4 image is copied, without a sync, while a run trains on it. The copy is what a machine would
find after a power cut: the file system had not yet written what lay in its memory.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ardm.checkpoint import checkpoints
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.runner.setting import JOB, newest_digest, opened, tiny_spec
from tests.runner.test_attempt import go

pytestmark = pytest.mark.slow


CUTS = 3
LONGER = "training.steps=300"


def call(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    try:
        call("mount", "-o", "loop", image, folder)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting is not permitted here ({error})")
    try:
        yield folder
    finally:
        call("umount", "-l", folder)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An empty ext4 file system."""
    path = tmp_path / "disk.ext4"
    with path.open("wb") as file:
        file.truncate(32 * 2**20)
    try:
        call("mkfs.ext4", "-q", path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mkfs.ext4 is not there; install e2fsprogs ({error})")
    return path


def test_every_finished_checkpoint_survives_a_power_cut(image, tmp_path):
    spec = tiny_spec(LONGER)
    copies = [tmp_path / f"cut-{i}.ext4" for i in range(CUTS)]
    with mounted(image, tmp_path / "disk") as disk:
        job = tmp_path / "job.yaml"
        job.write_text(JOB)
        run = Run(Store(str(disk / "runs")), "tiny-1")
        process = subprocess.Popen(
            [Path(sys.executable).with_name("ardm"), "train", job, "--store", disk / "runs",
             "--run", run.name, "--no-progress", "--set", LONGER],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        saved = [0]
        try:
            for copy in copies:
                saved.append(wait_for_save_after(run, saved[-1]))
                # The copy is of one moment.
                process.send_signal(signal.SIGSTOP)
                shutil.copyfile(image, copy)
                process.send_signal(signal.SIGCONT)
        finally:
            process.kill()
            process.wait()
    for copy, step in zip(copies, saved[1:], strict=True):
        with mounted(copy, tmp_path / "after") as disk:
            run = Run(Store(str(disk / "runs")), "tiny-1")
            found = checkpoints.committed(run)
            assert found
            assert found[0].step >= step
            for checkpoint in found:
                checkpoints.verify(checkpoint)
            assert registry.read_spec(run) == spec
            assert run.store.read_record(run.claim(1))["spec"]["job"] == "tiny"
            if copy == copies[-1]:
                ended = go(run, spec=spec)
                assert (ended.outcome, ended.step) == ("completed", spec.training.steps)
                undisturbed = opened(str(tmp_path / "runs"), spec=spec)
                assert go(undisturbed, spec=spec).outcome == "completed"
                assert newest_digest(run) == newest_digest(undisturbed)


def wait_for_save_after(run: Run, step: int) -> int:
    """The step of a checkpoint that is finished: a newer one could be begun.

    A checkpoint can be seen a moment before it is durable, so the newest one does not count.
    """
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(OSError):
            finished = checkpoints.committed(run)[1:]
            if finished and finished[0].step > step:
                return finished[0].step
        time.sleep(0.01)
    raise AssertionError("no checkpoint")

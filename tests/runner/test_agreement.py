"""Other data than before, and workers that differ, in real attempts."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ardm.analysis.status import status
from ardm.checkpoint import checkpoints
from ardm.errors import InputError
from ardm.events import kinds
from ardm.runner import agreement
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice, to_error
from ardm.store import overrides, registry
from ardm.store.run_directory import Run
from ardm.training.group import Alone
from tests.runner.setting import NOW, Acting, events, newest_digest, opened, save, tiny_spec

pytestmark = pytest.mark.slow


def images(folder: Path, seed: int = 1) -> Path:
    """A folder of 24 noisy pictures of 4 x 4 pixels."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    for number in range(24):
        pixels = random.integers(0, 256, (4, 4), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


def spec_of(path: str, steps: int = 4):
    data = f"data={{dataset: images, source: files, path: {path}}}"
    return tiny_spec(data, f"training.steps={steps}", "training.batch_size=2")


def interrupted(run: Run, spec) -> None:
    """An attempt that ends in the middle, with a checkpoint."""
    notice = Notice()
    group = Acting(lambda number: number == 2 and setattr(notice, "reason", "spot"))
    assert run_attempt(run, spec, Context(group, notice)).outcome == "preempted"
    assert checkpoints.committed(run)


def go(run: Run, spec):
    return run_attempt(run, spec, Context(Alone(), Notice()))


def test_other_data_are_refused_until_somebody_overrides_it(local_run, tmp_path):
    folder = images(tmp_path / "images")
    spec = spec_of(str(folder))
    run = opened(local_run.store.uri, "data", spec)
    interrupted(run, spec)
    before = (folder / "007.png").read_bytes()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "007.png")

    ended = go(run, spec)
    old, new = (events(run, number, kinds.Started) for number in (1, 2))
    assert (ended.outcome, ended.step, new) == ("bad_input", 0, [])
    assert to_error(ended).exit_code == 2
    for part in ("other data", old[0].data_sha256[:12], "--override", "--run"):
        assert part in ended.reason

    (folder / "007.png").write_bytes(before)
    after = run_attempt(run, spec, Context(Acting(lambda _: None), Notice("spot")))
    assert after.outcome == "preempted", "the same data again are no reason to refuse"
    assert status(run, {})["changed"] == []

    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "007.png")
    registry.open_run(run, spec, NOW, override=True)
    assert overrides.boundaries(run) == [3]
    assert go(run, spec).outcome == "completed"
    (changed,) = events(run, 4, kinds.DataChanged)
    assert changed.old == old[0].data_sha256
    told = status(run, {})
    assert told["changed"] == ["data"]
    assert told["changes"] == [{"what": "data", "old": changed.old[:12], "new": changed.new[:12]}]


def test_the_data_of_a_checkpoint_count_and_an_override_before_it_does_not(local_run):
    place = save(local_run, 3, 4)
    named = {"environment": {"data": "a" * 64}}
    assert agreement.require_data_of_run(place, named, "a" * 64) is None
    with pytest.raises(InputError, match="expected data with SHA-256 aaaaaaaaaaaa, but"):
        agreement.require_data_of_run(place, named, "b" * 64)
    assert agreement.require_data_of_run(place, {}, "b" * 64) is None, "nothing is known"
    for number in (1, 2):
        local_run.store.create(local_run.claim(number), b"{}")
    registry.open_run(local_run, tiny_spec(), NOW, override=True)
    with pytest.raises(InputError):
        agreement.require_data_of_run(place, named, "b" * 64)
    local_run.store.create(local_run.claim(3), b"{}")
    registry.open_run(local_run, tiny_spec(), NOW, override=True)
    assert agreement.require_data_of_run(place, named, "b" * 64) == "a" * 64


PEER = """
import json, sys
from ardm.training.devices import use_cpu
use_cpu(1)
import jax
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.runner.context import Notice, Context
from ardm.runner.attempt import run_attempt
from ardm.store.store import Store
from ardm.training.group import Processes

address, rank, store, name = sys.argv[1:]
jax.distributed.initialize(address, 2, int(rank), cluster_detection_method="deactivate")
run = Run(Store(store), name)
ended = run_attempt(run, registry.read_spec(run), Context(Processes(), Notice()))
print(json.dumps([ended.outcome, ended.reason]), flush=True)
"""


def two_workers(run: Run, folders: list[Path], variables: list[dict[str, str]]) -> list[list[str]]:
    """Two real workers, each with its own working directory and environment variables."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    peers = [
        subprocess.Popen(
            [sys.executable, "-c", PEER, address, str(rank), run.store.uri, run.name],
            cwd=folders[rank],
            env=os.environ | variables[rank],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [peer.communicate(timeout=120) for peer in peers]
    assert [peer.returncode for peer in peers] == [0, 0], said
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def opened_with_data_beside_each_worker(store: str, spec, folder: Path) -> Run:
    """A run whose job file names its folder relative to a worker's working directory."""
    run = opened(store, "data", spec)
    text = (run.store.read(run.job_file) or b"").decode()
    assert str(folder) in text
    run.store.write(run.job_file, text.replace(str(folder), folder.name).encode())
    return run


@pytest.mark.timeout(300)
def test_workers_that_differ_are_reported_and_those_with_other_data_do_not_begin(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for seed, there in enumerate((first, second)):
        there.mkdir()
        images(there / "images", seed)
    spec = spec_of(str(first / "images"))
    run = opened_with_data_beside_each_worker(str(tmp_path / "runs"), spec, first / "images")
    ended = two_workers(run, [first, second], [{}, {"NVIDIA_TF32_OVERRIDE": "0"}])
    assert [kind for kind, _ in ended] == ["bad_input", "bad_input"]
    assert ended[0] == ended[1]
    assert "the workers have read different data (SHA-256 worker 0: " in ended[0][1]
    assert events(run, 1, kinds.Ended)[0].outcome == "bad_input"
    assert events(run, 1, kinds.WorkerFailed) == []
    setting, data = status(run, {})["workers_differ"]
    assert setting.endswith(
        "differs from worker 0 in jax_settings: NVIDIA_TF32_OVERRIDE: 0, not None"
    )
    assert data.startswith("worker 1 differs from worker 0 in data: ")


@pytest.mark.timeout(300)
def test_a_limit_ends_two_workers_at_the_same_step_which_is_saved(tmp_path):
    run = opened(str(tmp_path / "runs"), spec=tiny_spec("limits.hours=1e-6"))
    first, second = two_workers(run, [tmp_path] * 2, [{}, {}])
    assert second == ["stopped", "as rank 0"]
    assert first[0] == "limit_reached"
    assert "limits.hours (1e-06) are reached; saved" in first[1]
    (ended,) = events(run, 1, kinds.Ended)
    assert newest_digest(run)[0] == ended.step >= 1

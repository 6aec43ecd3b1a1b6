"""The command `ardm chaos`: a short run with injected faults, and its end at a signal."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest

from ardm.chaos import run as chaotic
from ardm.errors import JobFailed
from tests.cluster.conftest import ARDM, TINY, Ardm, needs_minutes, wait_until

SEED, KINDS = 1, "worker,drain,damage,storage"

TEXT = Path(__file__).with_name("text.yaml")
"""A job on the bundled novel; the soak, and the tests of `tests/cluster`, train on images."""


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_run_with_faults_keeps_every_promise(tmp_path: Path) -> None:
    command = [
        ARDM, "chaos", str(TEXT), "--minutes", "0.4", "--every", "5", "--seed", str(SEED),
        "--faults", KINDS, "--json", "--keep", str(tmp_path),
        # If the step time were measured beside other tests, the run might end before any fault.
        "--set", "training.steps=600",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=840, env=marking(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    print(done.stderr)
    result = json.loads(done.stdout)
    assert result["broken"] == []
    assert result["equal"]
    assert len(result["kinds"]) >= 2
    assert result["recoveries"] >= 1
    assert result["state"] == "completed"
    assert not marked(tmp_path)


@needs_minutes
@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_signal_ends_every_process_that_was_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [ARDM, "chaos", str(TINY), "--set", "training.steps=5", "--set", "training.warmup=0"]
    before = leftovers()
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=marking(tmp_path))
    wait_until(lambda: "starting a Ray cluster" in log.read_text() or process.poll() is not None)
    wait_until(
        lambda: any("raylet" in p.name() for p in marked(tmp_path)) or process.poll() is not None
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130, log.read_text()
    assert not marked(tmp_path)
    assert leftovers() == before


def test_the_error_names_all_broken_promises() -> None:
    chaotic.require_kept({"broken": [], "seed": 3})
    with pytest.raises(JobFailed, match=r"2 promises were broken \(seed 3\):\n  one\n  two"):
        chaotic.require_kept({"broken": ["one", "two"], "seed": 3})
    assert JobFailed.exit_code == 3


@pytest.mark.slow
def test_an_unknown_kind_of_fault_is_refused_and_the_known_ones_are_listed(tmp_path: Path) -> None:
    said = Ardm(str(tmp_path))("chaos", str(TINY), "--faults", "worker,flood", code=2).stderr
    assert "--faults flood" in said
    assert "SIGKILL of a worker's process" in said


def marking(folder: Path) -> dict[str, str]:
    """An environment that marks all processes of a command."""
    return dict(os.environ) | {"ARDM_TEST_OF_CHAOS": str(folder)}


def marked(folder: Path) -> list[psutil.Process]:
    """The living processes with the environment of `marking`."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ARDM_TEST_OF_CHAOS") == str(folder):
                processes.append(process)
        except psutil.Error:
            continue
    return processes


def leftovers() -> set[Path]:
    """The temporary folders of chaos runs and of their clusters."""
    temporary = Path(tempfile.gettempdir())
    return {*temporary.glob("ardm-chaos-*"), *temporary.glob("ardm-ray-*")}

"""A run into which faults are injected, on a real Ray without a node to train on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardm.chaos import storage_faults
from ardm.chaos.chaos_run import ChaosRun
from ardm.chaos.nodes import Nodes, nodes
from ardm.chaos.reference import Command
from ardm.chaos.schedule import PlannedFault
from ardm.chaos.targets import Targets
from ardm.chaos.watch import Watch
from ardm.cluster import access, ports, submission
from ardm.errors import JobFailed
from ardm.job.spec import load
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.cluster.conftest import TINY, wait_until
from tests.runner.invented import add_attempt, ended, started
from tests.runner.setting import opened

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

WORKER = PlannedFault(time=0.0, kind="worker", pick=0.5, details={})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head without nodes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARDM_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("RAY_ADDRESS", raising=False)
        with nodes() as cluster:
            wait_until(lambda: ports.answers(cluster.jobs))
            yield cluster


@pytest.fixture
def targets(emulator: str, bucket: str, cluster: Nodes) -> Iterator[Targets]:
    run = Run(Store(f"{bucket}/runs"), "among-faults")
    with storage_faults.serve(emulator) as proxy, Watch(run) as watch:
        yield Targets(run, cluster, proxy, watch, 1)


def chaos_run(targets: Targets, job: Path, folder: Path, lines: list[str]) -> ChaosRun:
    environment = dict(os.environ) | access.settings()
    return ChaosRun(targets, Command(job, [], environment, folder / "log"), lines.append)


def test_a_job_that_cannot_be_submitted_ends_it_in_the_words_of_the_command(
    targets: Targets, tmp_path: Path
) -> None:
    job = tmp_path / "bad.yaml"
    job.write_text("job: bad\ntraining: {steps: many}\n")
    faulty = chaos_run(targets, job, tmp_path, [])
    with pytest.raises(JobFailed, match=r"(?s)the run cannot be submitted.*training\.steps"):
        faulty.execute([WORKER], timeout_s=0.0)
    assert (faulty.submissions, faulty.injected) == (0, [])


def test_no_fault_is_injected_into_a_run_that_has_ended(targets: Targets, tmp_path: Path) -> None:
    steps = load(TINY).training.steps
    opened(targets.run.store.uri, targets.run.name, load(TINY))
    add_attempt(targets.run, started(0.0, 0.0), ended(41.0, steps, "completed"), began=0.0)
    lines: list[str] = []
    faulty = chaos_run(targets, TINY, tmp_path, lines)
    faulty.execute([WORKER], timeout_s=300.0)
    assert (faulty.submissions, faulty.injected) == (1, [])
    assert lines[-1].endswith(f"attempt 1: completed at step {steps}")


def test_no_fault_happens_before_the_run_trains_and_patience_has_an_end(
    targets: Targets, tmp_path: Path
) -> None:
    lines: list[str] = []
    faulty = chaos_run(targets, TINY, tmp_path, lines)
    faulty.execute([WORKER], timeout_s=0.0)
    assert (faulty.submissions, faulty.injected) == (1, [])
    assert faulty.seconds > 0
    newest = submission.newest(targets.run)
    assert newest is not None
    assert newest.address == targets.nodes.jobs
    submission.end(newest)

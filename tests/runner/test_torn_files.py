"""As long as one checkpoint verifies, no content of the run directory makes a run unusable."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ardm.analysis.report import report
from ardm.analysis.status import status
from ardm.checkpoint import checkpoints
from ardm.events import history
from ardm.runner import control
from ardm.runner.context import Notice
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.runner.setting import NOW, newest_digest, opened, tiny_spec
from tests.runner.test_attempt import at, go

# Orbax (0.12.8) leaves an event loop behind where a restore fails.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NO_RAY = {"address": None, "submission_id": None, "status": None}

STRAY = ["._{}", "{} (1)", "{}~", "{}.sync-conflict-20261124", "desktop.ini"]
"""What tools that copy files leave behind beside a file."""

DAMAGES = ["empty", "cut", "zeroed", "noise", "removed", "doubled", "folder", "list"]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> Path:
    """The directory of a run with two attempts that were preempted, and checkpoints of both."""
    run = opened(str(tmp_path_factory.mktemp("torn") / "runs"))
    for step in (7, 6):
        notice = Notice()
        go(run, at(step, lambda notice=notice: setattr(notice, "reason", "spot")), notice)
    assert {checkpoint.attempt for checkpoint in checkpoints.committed(run)} >= {2}
    return Path(run.store.root)


def damage(path: Path, how: str, amount: int) -> None:
    """Do to a file what a power cut, a full disk or a copying tool does."""
    data = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(data[: len(data) * amount // 100])
    elif how == "zeroed":
        path.write_bytes(b"\0" * len(data))
    elif how == "noise":
        path.write_bytes(bytes((byte * 31 + amount) % 256 for byte in data[:4096]))
    elif how == "removed":
        path.unlink()
    elif how == "doubled":
        path.with_name(STRAY[amount % len(STRAY)].format(path.name)).write_bytes(data)
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(b"[1, 2]")


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(
    damages=st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from(DAMAGES), st.integers(0, 99)),
        min_size=1,
        max_size=12,
    )
)
def test_a_run_whose_files_are_torn_goes_on_to_the_same_end(
    interrupted, finished, tmp_path_factory, damages
):
    folder = tmp_path_factory.mktemp("case") / "runs"
    shutil.copytree(interrupted, folder)
    run = Run(Store(str(folder)), "tiny-1")
    kept = checkpoints.committed(run)[0]
    files = sorted(
        path
        for path in (folder / "tiny-1").rglob("*")
        if path.is_file() and run.store.path(kept.name) not in str(path)
    )
    for index, how, amount in damages:
        path = files[index % len(files)]
        if path.is_file():
            damage(path, how, amount)
    assert_readable(run)
    registry.open_run(run, tiny_spec(), NOW)
    ended = go(run)
    assert (ended.outcome, ended.step) == ("completed", tiny_spec().training.steps)
    assert newest_digest(run) == newest_digest(finished)
    assert run.store.names(f"{run.damaged_dir}/{kept.attempt:06d}") == []
    assert_readable(run)


def assert_readable(run: Run) -> None:
    """Whatever looks at the run says something."""
    assert registry.read_spec(run) == tiny_spec()
    found = status(run, NO_RAY)
    assert found["checkpoint"] is not None
    assert report(run)["run"] == run.name
    assert [entry.run.name for entry in registry.entries(run.store)] == [run.name]
    history.read(run)
    control.request_stop(run)

"""A tiny job and the runs made of it."""

import pytest

from ardm.job.spec import JobSpec
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.store.run_directory import Run
from ardm.training.group import Alone
from tests.runner.setting import opened, tiny_spec


@pytest.fixture
def spec() -> JobSpec:
    return tiny_spec()


@pytest.fixture
def run(store_uri: str) -> Run:
    """A new run of the tiny job, once in a directory and once in a bucket."""
    return opened(store_uri)


@pytest.fixture
def local_run(tmp_path) -> Run:
    """A new run of the tiny job in a directory."""
    return opened(str(tmp_path / "runs"))


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory) -> str:
    """A directory of runs for the whole session."""
    return str(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def finished(shared_store: str) -> Run:
    """The tiny job trained without interruption; nobody may change it."""
    run = opened(shared_store, "finished")
    assert run_attempt(run, tiny_spec(), Context(Alone(), Notice())).outcome == "completed"
    return run

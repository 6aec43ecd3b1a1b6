"""A trained model, and `ardm` in this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ardm.cli.main import app
from ardm.runs.layout import Run
from ardm.runs.place import Notice, Place
from ardm.runs.pull import pull
from ardm.runs.session import run_attempt
from ardm.training.group import Alone
from tests.runs.setting import opened, tiny_spec


@dataclass(frozen=True)
class Here:
    """The command line on a store, without a process of its own."""

    store: str

    def __call__(self, *args: str, code: int = 0) -> Result:
        """Run a command to its end and require its exit code."""
        done = CliRunner().invoke(app, args, env={"ARDM_STORE": self.store})
        told = f"{args} ended with {done.exit_code}:\n{done.output}"
        assert done.exit_code == code, told
        return done

    def json(self, *args: str) -> Any:
        """Run a command with --json; its result."""
        return json.loads(self(*args, "--json").stdout)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the tiny job, completed."""
    run = opened(str(tmp_path_factory.mktemp("cli") / "runs"), "trained")
    assert run_attempt(run, tiny_spec(), Place(Alone(), Notice())).kind == "completed"
    return run


@pytest.fixture(scope="session")
def pulled(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkpoint, taken away."""
    folder = tmp_path_factory.mktemp("cli") / "pulled"
    pull(trained, folder)
    return folder


@pytest.fixture
def here(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """The command line on the store of the trained run, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return Here(trained.store.uri)

"""A trained model, and `ardm` in this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from ardm.checkpoint.pull import pull
from ardm.cli.main import app
from ardm.data.image_folder import measure
from ardm.job.spec import parse
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.store.run_directory import Run
from ardm.training.group import Alone
from tests.runner.setting import opened, tiny_spec


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
    assert run_attempt(run, tiny_spec(), Context(Alone(), Notice())).outcome == "completed"
    return run


STAGED = """
job: staged
model:
  objective: upscale
  upscale: {branch: 16}
  net: {channels: 4, multipliers: [1, 1], blocks: 1, attention: [], groups: 2}
training: {steps: 4, batch_size: 4, grad_shards: 2, warmup: 2}
checkpoint: {interval: 0}
evaluation: {every: 1000, images: 4, final_images: 4, samples: 0}
"""


@pytest.fixture(scope="session")
def staged(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of Upscale ARDM on noise of 4 x 4 pixels, beside the trained one."""
    folder = tmp_path_factory.mktemp("grey")
    random = np.random.default_rng(3)
    for number in range(60):
        pixels = random.integers(0, 256, (4, 4), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    (folder / "desktop.ini").write_text("[ViewState]")
    data = f"data={{dataset: images, source: files, path: {folder}}}"
    spec = parse(STAGED, "staged.yaml", [data], measure)
    run = opened(trained.store.uri, "staged", spec)
    assert run_attempt(run, spec, Context(Alone(), Notice())).outcome == "completed"
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

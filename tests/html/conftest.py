"""The runs whose pages are looked at."""

import pytest

from ardm.job.spec import parse
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.training.group import Alone
from tests.runner.setting import JOB, opened
from tests.runner.test_attempt import at, go


@pytest.fixture(scope="package")
def store(tmp_path_factory):
    """A store with a run that was interrupted, and one with another learning rate."""
    uri = str(tmp_path_factory.mktemp("html") / "runs")
    samples = ["evaluation.samples=2", "evaluation.sample_steps=2", "evaluation.every=8"]
    spec = parse(JOB, "tiny.yaml", samples)
    run, notice = opened(uri, "killed", spec), Notice()
    assert go(run, at(10, lambda: setattr(notice, "reason", "<b>SIGTERM")), notice, spec)
    assert go(run, spec=spec).outcome == "completed"
    other = parse(JOB, "tiny.yaml", [*samples, "training.learning_rate=2e-2"])
    run = opened(uri, "other", other)
    assert run_attempt(run, other, Context(Alone(), Notice())).outcome == "completed"
    return uri

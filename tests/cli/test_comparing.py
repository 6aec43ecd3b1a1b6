import numpy as np
import pytest

from ardm.checkpoint.pull import pull
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.training.group import Alone
from tests.runner.setting import opened, tiny_spec

pytestmark = pytest.mark.slow


OPTIONS = ("--images", "40")


@pytest.fixture(scope="module")
def worse(tmp_path_factory):
    """The pulled checkpoint of a run of the tiny job with half of its steps."""
    folder, spec = tmp_path_factory.mktemp("worse"), tiny_spec("training.steps=12")
    run = opened(str(folder / "runs"), "worse", spec)
    assert run_attempt(run, spec, Context(Alone(), Notice())).outcome == "completed"
    pull(run, folder / "pulled")
    return str(folder / "pulled")


def test_runs_are_compared_in_pairs_on_the_same_draws(here, pulled, worse):
    result = here.json("compare", "trained", worse, str(pulled), *OPTIONS)
    settings = (result["split"], result["images"], result["passes"], result["metric"])
    assert settings == ("valid", 40, 1, "nelbo_bpd")
    first, same, other = result["rows"]
    assert (first["a"], first["b"]) == ("trained", worse)
    assert first["differs"]
    assert first["difference"] < -2 * first["se"] < 0
    means = [run["nelbo_bpd"] for run in result["runs"]]
    assert first["difference"] == pytest.approx(means[0] - means[1])
    # The error of a paired difference is smaller than that of two separate estimates.
    assert first["se"] < np.hypot(result["runs"][0]["se_bpd"], result["runs"][1]["se_bpd"])
    # The pulled checkpoint is the same as that of the run.
    assert (same["difference"], same["se"], same["differs"]) == (0.0, 0.0, False)
    assert other["difference"] == pytest.approx(-first["difference"])
    again = here.json("compare", "trained", worse, *OPTIONS, "--seed", "1")
    assert again["rows"][0]["difference"] != first["difference"]


def test_the_table_shows_which_run_is_better(here, worse):
    done = here("compare", "trained", worse, *OPTIONS, "--split", "test")
    heading, row, note = done.stdout.splitlines()[:3]
    assert heading.split() == ["runs", "bits/dim", "nats"]
    assert row.startswith("trained - worse ")
    assert row.rstrip().endswith("trained is better")
    assert "on 40 test images in pairs" in note
    assert "worse, step 12 (digest" in done.stderr


@pytest.mark.parametrize("runs", [("trained",), ("trained", "trained")])
def test_fewer_than_two_runs_are_refused(here, runs):
    assert "expected two or more different runs" in here("compare", *runs, code=2).stderr


def test_runs_of_different_data_are_not_compared(here, staged):
    stderr = here("compare", "trained", staged.name, code=2).stderr
    assert f"trained and {staged.name} were trained on different data" in stderr


def test_missing_runs_are_named(here):
    assert "nobody" in here("compare", "trained", "nobody", code=4).stderr
    stderr = here("compare", "trained", "nobody", "--images", "10001", code=4).stderr
    assert "nobody" in stderr

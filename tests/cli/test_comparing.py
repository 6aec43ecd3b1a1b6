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
    """The tiny job after half of its steps, pulled."""
    folder, spec = tmp_path_factory.mktemp("worse"), tiny_spec("training.steps=12")
    run = opened(str(folder / "runs"), "worse", spec)
    assert run_attempt(run, spec, Context(Alone(), Notice())).outcome == "completed"
    pull(run, folder / "pulled")
    return str(folder / "pulled")


def test_runs_are_compared_in_pairs_on_the_same_draws(here, pulled, worse):
    told = here.json("compare", "trained", worse, str(pulled), *OPTIONS)
    about = (told["split"], told["images"], told["passes"], told["metric"])
    assert about == ("valid", 40, 1, "nelbo_bpd")
    first, same, other = told["rows"]
    assert (first["a"], first["b"]) == ("trained", worse)
    assert first["differs"]
    assert first["difference"] < -2 * first["se"] < 0
    means = [run["nelbo_bpd"] for run in told["runs"]]
    assert first["difference"] == pytest.approx(means[0] - means[1])
    # In pairs the error is smaller than that of two separate estimates.
    assert first["se"] < np.hypot(told["runs"][0]["se_bpd"], told["runs"][1]["se_bpd"])
    # The pulled checkpoint is the same.
    assert (same["difference"], same["se"], same["differs"]) == (0.0, 0.0, False)
    assert other["difference"] == pytest.approx(-first["difference"])
    again = here.json("compare", "trained", worse, *OPTIONS, "--seed", "1")
    assert again["rows"][0]["difference"] != first["difference"]


def test_the_table_says_which_is_better(here, worse):
    done = here("compare", "trained", worse, *OPTIONS, "--split", "test")
    heading, row, note = done.stdout.splitlines()[:3]
    assert heading.split() == ["runs", "bits/dim", "nats"]
    assert row.startswith("trained - worse ")
    assert row.rstrip().endswith("trained is better")
    assert "on 40 test images in pairs" in note
    assert "worse, step 12 (digest" in done.stderr


@pytest.mark.parametrize("runs", [("trained",), ("trained", "trained")])
def test_fewer_than_two_runs_are_no_comparison(here, runs):
    assert "expected two or more different runs" in here("compare", *runs, code=2).stderr


def test_runs_of_different_data_are_not_compared(here, staged):
    said = here("compare", "trained", staged.name, code=2).stderr
    assert f"trained and {staged.name} were trained on different data" in said


def test_runs_that_are_not_there_are_named(here):
    assert "nobody" in here("compare", "trained", "nobody", code=4).stderr
    said = here("compare", "trained", "nobody", "--images", "10001", code=4).stderr
    assert "nobody" in said

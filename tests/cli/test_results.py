import numpy as np
import pytest
from PIL import Image

from ardm.loading import load
from ardm.model import policy

pytestmark = pytest.mark.slow


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(
    ("options", "calls", "kind"),
    [
        (("--budget", "7", "--order", "centre-out"), 7, "optimal"),
        (("--steps", "5", "--order", "random", "--temperature", "0.5"), 5, "uniform"),
    ],
)
def test_samples_are_drawn_by_the_policy_asked_for(here, options, calls, kind):
    told = here.json("sample", "trained", "--num", "3", "--chain", "c.gif", *options)
    assert (told["run"], told["step"], told["num"]) == ("trained", 24, 3)
    assert (told["steps"], told["policy"]) == (calls, kind)
    assert Image.open("c.gif").n_frames == calls + 1
    # The same again, from the seed alone; with another one, another picture.
    again = here.json("sample", "trained", "--num", "3", "--out", "again.png", *options)
    np.testing.assert_array_equal(pixels(again["png"]), pixels(told["png"]))
    other = here.json("sample", "trained", "--num", "3", "--out", "o.png", "--seed", "1", *options)
    assert not np.array_equal(pixels(other["png"]), pixels(told["png"]))


def test_a_run_and_its_pulled_checkpoint_give_the_same_samples(here, pulled):
    options = ("--budget", "9", "--num", "2")
    one = here.json("sample", "trained", *options, "--out", "one.png")
    two = here.json("sample", str(pulled), *options, "--out", "two.png")
    assert one["digest"] == two["digest"]
    np.testing.assert_array_equal(pixels("one.png"), pixels("two.png"))


def test_the_optimal_policy_is_that_of_the_losses_in_the_checkpoint(trained):
    model = load("trained", trained.store, print)
    made = model.calls(None, 12)
    np.testing.assert_array_equal(made.starts, policy.optimal(model.tracked_losses, [12])[12])
    assert model.calls(None, None).kind == "sequential"
    assert model.calls(None, 84, known=700).kind == "sequential"
    np.testing.assert_array_equal(model.calls(4, None, known=700).starts, [700, 721, 742, 763])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--budget", "5", "--steps", "5"), "exclude each other"),
        (("--budget", "785"), "a budget of 785 network calls: choose from 1 to 784"),
        (("--order", "sideways"), "choose from random, raster, centre-out"),
        (("--temperature", "0"), "temperature 0.0: expected a positive number"),
    ],
)
def test_what_cannot_be_drawn_is_told(here, options, told, tmp_path):
    assert told in here("sample", "trained", *options, code=2).stderr
    assert not list(tmp_path.glob("*.png"))

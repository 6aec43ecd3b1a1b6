import math

import numpy as np
import pytest

pytestmark = pytest.mark.slow


D_LN_2 = 784 * math.log(2)


def test_the_bound_is_estimated(here, pulled):
    told = here.json("evaluate", "trained", "--images", "20", "--passes", "2")
    assert (told["run"], told["step"], len(told["digest"])) == ("trained", 24, 64)
    assert (told["images"], told["passes"], told["policy"]) == (20, 2, None)
    assert told["nelbo_nats"] == pytest.approx(told["nelbo_bpd"] * D_LN_2)
    assert told == here.json("evaluate", str(pulled), "--images", "20", "--passes", "2")
    said = here("evaluate", "trained", "--images", "20", "--passes", "2").stderr
    assert f"step 24 (digest {told['digest'][:12]}): {told['nelbo_bpd']:.4f} ± " in said
    assert "(20 images, 2 passes)" in said


def test_each_split_and_each_seed_has_its_own_estimate(here, tmp_path):
    options = ("--images", "20", "--passes", "2")
    usual = here.json("evaluate", "trained", *options)
    assert (usual["split"], usual["seed"]) == ("valid", 7)
    assert usual == here.json("evaluate", "trained", *options, "--split", "valid", "--seed", "7")
    others = [("--seed", "8"), ("--split", "test"), ("--split", "train")]
    found = [here.json("evaluate", "trained", *options, *other) for other in others]
    assert [one["split"] for one in found] == ["valid", "test", "train"]
    assert len({one["nelbo_nats"] for one in (usual, *found)}) == 4
    said = here("evaluate", "trained", *options, "--split", "test").stderr
    assert said.startswith("test NELBO of step 24")


def test_the_estimate_of_every_image_is_written(here, tmp_path):
    to = tmp_path / "estimates.npz"
    told = here.json("evaluate", "trained", "--images", "20", "--passes", "2", "--out", str(to))
    with np.load(to) as kept:
        assert kept["nelbo"].shape == kept["t"].shape == (2, 20)
        assert kept["nelbo"].mean() == pytest.approx(told["nelbo_nats"])
        np.testing.assert_array_equal(kept["index"], np.arange(20) * 500)


def test_the_bound_is_estimated_under_a_policy(here):
    full = here.json("evaluate", "trained", "--images", "20", "--policy", "784")
    usual = here.json("evaluate", "trained", "--images", "20")
    assert full == usual | {"policy": 784}
    said = here("evaluate", "trained", "--images", "20", "--policy", "5").stderr
    assert "under the optimal policy of 5 calls: " in said
    assert f": {usual['nelbo_bpd']:.4f} ±" not in said


def test_the_likelihood_is_computed_exactly(here):
    options = ("--exact", "--orders", "2", "--images", "3", "--policy", "40")
    told = here.json("evaluate", "trained", *options)
    assert (told["step"], told["images"], told["calls"]) == (24, 3, 40)
    assert len(told["orders"]) == 2
    assert told["ensemble"]["nll_nats"] <= told["mean"]["nll_nats"]
    assert told["mean"]["nll_nats"] == pytest.approx(told["mean"]["nll_bpd"] * D_LN_2)
    done = here("evaluate", "trained", *options)
    rows = [row.split() for row in done.stdout.splitlines()]
    names = [" ".join(row[: -6 if len(row) > 6 else 1]) for row in rows[:6]]
    wanted = ["orders", "number 1", "number 2", "mean", "ensemble of 2", "best of 2"]
    assert names == wanted
    assert rows[4][3] == f"{told['ensemble']['nll_bpd']:.4f}"
    assert [one["orders"] for one in told["together"]] == [1, 2]
    assert told["together"][1]["ensemble"] == told["ensemble"]
    assert "network calls per image and order: about " in done.stderr
    assert "3 valid images by step 24 (digest" in done.stderr
    assert "in 40 network calls" in done.stderr


def test_a_model_of_stages_is_evaluated_in_every_way(here, staged):
    exact = here.json("evaluate", staged.name, "--exact", "--orders", "2", "--images", "3")
    assert exact["calls"] == 32
    assert exact["mean"]["nll_nats"] == pytest.approx(exact["mean"]["nll_bpd"] * 16 * math.log(2))
    # Hardly trained on noise, it knows nothing of eight bits.
    assert exact["mean"]["nll_bpd"] == pytest.approx(8.0, abs=0.5)
    under = here.json("evaluate", staged.name, "--policy", "4", "--images", "3")
    assert (under["policy"], under["images"]) == (4, 3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--orders", "3"), "add --exact"),
        (("--exact", "--passes", "3"), "nothing is estimated with --exact"),
        (("--exact", "--out", "x.npz"), "nothing is estimated with --exact"),
        (("--out", "x.png"), "expected a file name that ends in .npz"),
        (("--images", "10001"), "the valid split of binarized_mnist has 10000 images"),
        (("--split", "validation"), "is not one of"),
        (("--policy", "785"), "a budget of 785 network calls: choose from 1 to 784"),
    ],
)
def test_what_does_not_go_together_is_told(here, options, told):
    assert told in here("evaluate", "trained", *options, code=2).stderr

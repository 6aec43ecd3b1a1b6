import math

import numpy as np
import pytest

pytestmark = pytest.mark.slow


D_LN_2 = 784 * math.log(2)


def test_the_bound_is_estimated(here, pulled):
    result = here.json("evaluate", "trained", "--images", "20", "--passes", "2")
    assert (result["run"], result["step"], len(result["digest"])) == ("trained", 24, 64)
    assert (result["images"], result["passes"], result["policy"]) == (20, 2, None)
    assert result["nelbo_nats"] == pytest.approx(result["nelbo_bpd"] * D_LN_2)
    assert result == here.json("evaluate", str(pulled), "--images", "20", "--passes", "2")
    stderr = here("evaluate", "trained", "--images", "20", "--passes", "2").stderr
    assert f"step 24 (digest {result['digest'][:12]}): {result['nelbo_bpd']:.4f} ± " in stderr
    assert "(20 images, 2 passes)" in stderr


def test_each_split_and_each_seed_has_its_own_estimate(here, tmp_path):
    options = ("--images", "20", "--passes", "2")
    default = here.json("evaluate", "trained", *options)
    assert (default["split"], default["seed"]) == ("valid", 7)
    assert default == here.json("evaluate", "trained", *options, "--split", "valid", "--seed", "7")
    others = [("--seed", "8"), ("--split", "test"), ("--split", "train")]
    results = [here.json("evaluate", "trained", *options, *other) for other in others]
    assert [one["split"] for one in results] == ["valid", "test", "train"]
    assert len({one["nelbo_nats"] for one in (default, *results)}) == 4
    stderr = here("evaluate", "trained", *options, "--split", "test").stderr
    assert stderr.startswith("test NELBO of step 24")


def test_the_estimate_of_each_image_is_written(here, tmp_path):
    to = tmp_path / "estimates.npz"
    result = here.json("evaluate", "trained", "--images", "20", "--passes", "2", "--out", str(to))
    with np.load(to) as kept:
        assert kept["nelbo"].shape == kept["t"].shape == (2, 20)
        assert kept["nelbo"].mean() == pytest.approx(result["nelbo_nats"])
        np.testing.assert_array_equal(kept["index"], np.arange(20) * 500)


def test_the_bound_is_estimated_under_a_policy(here):
    full = here.json("evaluate", "trained", "--images", "20", "--policy", "784")
    default = here.json("evaluate", "trained", "--images", "20")
    assert full == default | {"policy": 784}
    stderr = here("evaluate", "trained", "--images", "20", "--policy", "5").stderr
    assert "under the optimal policy of 5 calls: " in stderr
    assert f": {default['nelbo_bpd']:.4f} ±" not in stderr


def test_the_likelihood_is_computed_exactly(here):
    options = ("--exact", "--orders", "2", "--images", "3", "--policy", "40")
    result = here.json("evaluate", "trained", *options)
    assert (result["step"], result["images"], result["calls"]) == (24, 3, 40)
    assert len(result["orders"]) == 2
    assert result["ensemble"]["nll_nats"] <= result["mean"]["nll_nats"]
    assert result["mean"]["nll_nats"] == pytest.approx(result["mean"]["nll_bpd"] * D_LN_2)
    done = here("evaluate", "trained", *options)
    rows = [row.split() for row in done.stdout.splitlines()]
    names = [" ".join(row[: -6 if len(row) > 6 else 1]) for row in rows[:6]]
    expected = ["orders", "number 1", "number 2", "mean", "ensemble of 2", "best of 2"]
    assert names == expected
    assert rows[4][3] == f"{result['ensemble']['nll_bpd']:.4f}"
    assert [one["orders"] for one in result["together"]] == [1, 2]
    assert result["together"][1]["ensemble"] == result["ensemble"]
    assert "network calls per image and order: about " in done.stderr
    assert "3 valid images by step 24 (digest" in done.stderr
    assert "in 40 network calls" in done.stderr


def test_an_upscale_model_is_evaluated_in_every_way(here, staged):
    exact = here.json("evaluate", staged.name, "--exact", "--orders", "2", "--images", "3")
    assert exact["calls"] == 32
    assert exact["mean"]["nll_nats"] == pytest.approx(exact["mean"]["nll_bpd"] * 16 * math.log(2))
    # A model that has hardly been trained, on noise, needs all eight bits.
    assert exact["mean"]["nll_bpd"] == pytest.approx(8.0, abs=0.5)
    under = here.json("evaluate", staged.name, "--policy", "4", "--images", "3")
    assert (under["policy"], under["images"]) == (4, 3)


@pytest.mark.parametrize(
    ("options", "message"),
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
def test_invalid_combinations_of_options_are_reported(here, options, message):
    assert message in here("evaluate", "trained", *options, code=2).stderr

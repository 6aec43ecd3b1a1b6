import math

import pytest

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
    assert [row[0] for row in rows[:5]] == ["order", "1", "2", "mean", "ensemble"]
    assert rows[4][1] == f"{told['ensemble']['nll_bpd']:.4f}"
    assert "3 test images by step 24 (digest" in done.stderr
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
        (("--policy", "785"), "a budget of 785 network calls: choose from 1 to 784"),
    ],
)
def test_what_does_not_go_together_is_told(here, options, told):
    assert told in here("evaluate", "trained", *options, code=2).stderr

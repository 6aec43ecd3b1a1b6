import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ardm.loading import load
from ardm.model import policy

pytestmark = pytest.mark.slow


def test_policies_are_found_measured_drawn_and_kept(here, trained, pulled, tmp_path):
    options = ("--budgets", "50,10", "--images", "16", "--out", "curve.png")
    told = here.json("policy", "trained", *options)
    model = load("trained", trained.store, print)
    assert (told["run"], told["step"], told["digest"]) == ("trained", 24, model.digest)
    by_name = {(item["kind"], item["budget"]): item for item in told["policies"]}
    assert list(by_name) == [
        ("optimal", 10),
        ("uniform", 10),
        ("optimal", 50),
        ("uniform", 50),
        ("sequential", 784),
    ]
    kept = json.loads(Path(told["kept"]).read_text())
    expected = policy.optimal(model.tracked_losses, [50])[50]
    np.testing.assert_array_equal(by_name["optimal", 50]["starts"], expected)
    for item in told["policies"]:
        assert item["images"] == 16
        assert 0 < item["nelbo_bpd"] < 1.5
        assert item["se_bpd"] > 0
    assert Image.open(tmp_path / told["png"]).format == "PNG"
    # Beside those of other budgets, which another command may have left there.
    mine = [item for item in kept["policies"] if (item["kind"], item["budget"]) in by_name]
    assert mine == told["policies"]
    assert (told["split"], told["images"]) == ("valid", 16)
    assert [cost["budget"] for cost in told["budgets"]] == [10, 50]
    for cost in told["budgets"]:
        item = by_name["optimal", cost["budget"]]
        assert cost["policy"] == item["starts"]
        assert cost["over_sequential_nats"] == item["over_sequential_nats"]
        assert cost["se_nats"] > 0
    # The pulled checkpoint is the same, and so is all that is measured on it.
    again = here.json("policy", str(pulled), *options)
    assert again["policies"] == told["policies"]
    assert again["kept"] == str(pulled / "policies.json")


def test_as_many_images_as_steps_measure_the_losses_that_other_commands_go_by(here, staged):
    said = here("policy", staged.name, "--budgets", "4", "--images", "4").stderr
    assert "4 estimates say little about 32 steps: the policies are found from the losses" in said
    model = load(staged.name, staged.store, print)
    np.testing.assert_array_equal(model.losses, model.tracked_losses)
    told = here.json("policy", staged.name, "--budgets", "4", "--images", "4", "--passes", "8")
    measured = model.losses
    assert not np.array_equal(measured, model.tracked_losses)
    assert (np.diff(measured.reshape(2, 16)) <= 0).all()
    (cost,) = told["budgets"]
    assert cost["policy"] == policy.optimal(measured, [4], stages=2)[4].tolist()


def test_the_table_is_for_people(here):
    done = here("policy", "trained", "--budgets", "784,20", "--images", "4")
    first, *rows = done.stdout.splitlines()
    assert first.split("  ")[0] == "network calls"
    assert [row.split()[0] for row in rows[:2]] == ["20", "784"]
    assert "4 valid images, 1 pass," in rows[-1]
    assert "step 24 (digest" in done.stderr
    assert "curve: trained-24-policy.png" in done.stderr


def test_what_are_no_budgets_is_told(here):
    said = here("policy", "trained", "--budgets", "10,many", code=2).stderr
    assert "'10,many': expected numbers of network calls, such as 10,20" in said
    said = here("policy", "trained", "--budgets", "0,10,785", "--images", "4", code=2).stderr
    assert "a budget of 0 and of 785 network calls: choose from 1 to 784" in said
    assert "no run 'nobody'" in here("policy", "nobody", code=4).stderr


def test_of_a_model_of_stages_every_stage_begins_with_a_call(here, staged):
    told = here.json("policy", staged.name, "--budgets", "2,6", "--images", "4")
    found = {(item["kind"], item["budget"]): item for item in told["policies"]}
    assert list(found)[-1] == ("sequential", 32)
    for item in found.values():
        assert {0, 16} <= set(item["starts"])
        assert item["nelbo_bpd"] > 0
    # With one call per stage there is but one policy.
    assert found["optimal", 2]["starts"] == found["uniform", 2]["starts"] == [0, 16]
    assert Image.open(told["png"]).format == "PNG"
    said = here("policy", staged.name, "--budgets", "1", "--images", "4", code=2).stderr
    assert "a budget of 1 network calls: choose from 2 to 32" in said

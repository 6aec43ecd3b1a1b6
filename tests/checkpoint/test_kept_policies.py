import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ardm.checkpoint.pull import pull
from ardm.errors import StoreUnusable
from ardm.loading import load
from ardm.store.run_directory import Run
from tests.runner.setting import opened


def entry(budget, kind="optimal", bpd=0.2):
    return {"kind": kind, "budget": budget, "starts": list(range(budget)), "nelbo_bpd": bpd}


@pytest.fixture(scope="module")
def trained(finished):
    return load(finished.name, finished.store, print)


@pytest.fixture(params=["run", "pulled"])
def model(request, trained, finished, tmp_path):
    """A checkpoint of a run that may be changed, and one that was pulled."""
    if request.param == "run":
        return replace(trained, home=opened(str(tmp_path / "runs")))
    pull(finished, tmp_path / "here")
    return load(str(tmp_path / "here"), finished.store, print)


def test_what_was_kept_is_read_again(model):
    assert model.kept_policies.read() == []
    model.kept_policies.keep([entry(5), entry(5, "uniform")])
    assert model.kept_policies.read() == [entry(5), entry(5, "uniform")]


def test_policies_lie_where_the_checkpoint_does_and_name_it(model, tmp_path):
    place = model.kept_policies.keep([entry(3)])
    inside = (
        f"runs/tiny-1/policies/000001-{model.step}.json"
        if isinstance(model.home, Run)
        else "here/policies.json"
    )
    assert place == str(tmp_path / inside)
    found = json.loads((tmp_path / inside).read_text())
    assert (found["run"], found["step"], found["digest"]) == ("finished", 24, model.digest)


def test_new_budgets_join_the_old_ones_and_replace_their_like(model):
    model.kept_policies.keep([entry(20), entry(5)])
    model.kept_policies.keep([entry(10), entry(5, bpd=0.1)])
    assert model.kept_policies.read() == [entry(5, bpd=0.1), entry(10), entry(20)]


def test_policies_of_another_state_do_not_count(model):
    model.kept_policies.keep([entry(5)])
    other = replace(model, digest="0" * 64)
    assert other.kept_policies.read() == []
    other.kept_policies.keep([entry(6)])
    assert other.kept_policies.read() == [entry(6)]


def test_a_place_that_cannot_be_written_is_told(trained, tmp_path):
    file = tmp_path / "file"
    file.write_text("not a directory")
    with pytest.raises(StoreUnusable, match="cannot be kept with finished"):
        replace(trained, home=file).kept_policies.keep([entry(5)])


def test_the_measured_losses_come_before_the_tracked_ones(model):
    np.testing.assert_array_equal(model.losses, model.tracked_losses)
    model.kept_policies.keep([entry(5)])
    np.testing.assert_array_equal(model.losses, model.tracked_losses)
    model.kept_policies.keep([], np.linspace(1, 0, 784))
    model.kept_policies.keep([entry(6)])
    np.testing.assert_allclose(model.losses, np.linspace(1, 0, 784))
    other = replace(model, digest="0" * 64)
    np.testing.assert_array_equal(other.losses, model.tracked_losses)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"digest": 1}', '{"digest": "%s", "policies": [[], {}], "L": [[1]]}'],
)
def test_a_torn_or_odd_file_of_policies_counts_as_none(model, content):
    place = Path(model.kept_policies.keep([entry(5)]))
    place.write_text(content.replace("%s", model.digest))
    assert model.kept_policies.read() == []
    np.testing.assert_array_equal(model.losses, model.tracked_losses)
    model.kept_policies.keep([entry(7)])
    assert model.kept_policies.read() == [entry(7)]

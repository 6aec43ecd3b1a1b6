import jax
import numpy as np
import pytest

from ardm.checkpoint.digest import digest
from ardm.checkpoint.pull import pull
from ardm.errors import InputError, NotFound
from ardm.loading import load
from ardm.store.run_directory import Run
from tests.runner.setting import files_of, newest_digest, opened, save


def no_warning(text):
    raise AssertionError(text)


def test_a_run_and_what_was_pulled_of_it_are_the_same_model(finished, tmp_path):
    pull(finished, tmp_path / "here")
    by_name = load("finished", finished.store, no_warning)
    by_place = load(str(tmp_path / "here"), finished.store, no_warning)
    for model in (by_name, by_place):
        assert (model.step, model.digest) == newest_digest(finished)
        assert (model.name, model.spec.job) == ("finished", "tiny")
        assert jax.tree.structure(model.params) == jax.tree.structure(model.model.shapes)
    assert digest(by_name.params) == digest(by_place.params)
    assert by_name.attempt == by_place.attempt == 1
    assert (by_name.home, by_place.home) == (Run(finished.store, "finished"), tmp_path / "here")
    np.testing.assert_array_equal(by_name.tracked_losses, by_place.tracked_losses)
    # Losses of a training that has begun: some steps met, others not.
    assert by_name.tracked_losses.shape == (784,)
    unseen = np.isclose(by_name.tracked_losses, np.log(2))
    assert unseen.any()
    assert not unseen.all()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_pulled_checkpoint_is_told(finished, tmp_path):
    pull(finished, tmp_path / "here")
    for path in (tmp_path / "here" / "checkpoint").rglob("d/*"):
        path.write_bytes(b"rot")
    with pytest.raises(NotFound, match="pull it again"):
        load(str(tmp_path / "here"), finished.store, no_warning)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_passed_over_is_told_and_nothing_left_is_not_found(local_run):
    place = save(local_run, 1, 4)
    for name in files_of(place):
        if "/d/" in name:
            local_run.store.write(name, b"rot")
    warnings = []
    with pytest.raises(NotFound, match="no checkpoint that can be used"):
        load(local_run.name, local_run.store, warnings.append)
    assert len(warnings) == 1
    assert "checkpoint of step 4 is passed over" in warnings[0]


def test_a_checkpoint_of_another_model_is_told(local_run):
    save(local_run, 1, 4)
    with pytest.raises(InputError, match="whole, but not of this model"):
        load(local_run.name, local_run.store, no_warning)


def test_an_unknown_run_is_told(tmp_path):
    store = opened(str(tmp_path / "runs")).store
    with pytest.raises(NotFound, match="Known runs: tiny-1"):
        load("nobody", store, no_warning)

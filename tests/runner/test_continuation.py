"""A run that goes on with another `training` section."""

import logging

import pytest

from ardm.analysis.status import status
from ardm.errors import SpecConflict
from ardm.events import kinds
from ardm.runner import agreement, control
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.training.config import TrainingConfig
from tests.runner.setting import NOW, events, opened, save, tiny_spec
from tests.runner.test_attempt import at, go

pytestmark = pytest.mark.slow


def as_json(config: TrainingConfig):
    return {"training": config.model_dump(mode="json")}


def test_the_jump_of_the_rate_is_that_of_the_schedules():
    old = TrainingConfig(steps=1000, warmup=0, learning_rate=1.0, schedule="cosine")
    longer = TrainingConfig(steps=2000, warmup=0, learning_rate=1.0, schedule="cosine")
    change = agreement.rate_change(as_json(old), longer, 1000)
    assert change == pytest.approx((1000, 0.0, 0.5))
    assert agreement.rate_change(as_json(old), longer, 0) is None
    assert agreement.rate_change(as_json(old), old, 500) is None
    flat = TrainingConfig(steps=1000, warmup=0, learning_rate=1.0, schedule="constant")
    assert agreement.rate_change(as_json(flat), flat.model_copy(update={"steps": 9}), 5) is None
    for unknown in (None, {}, {"training": None}, {"training": {"steps": "?"}}, "text"):
        assert agreement.rate_change(unknown, old, 5) is None


def test_more_steps_say_how_the_rate_jumps(tmp_path, caplog):
    run = opened(str(tmp_path / "runs"))
    go(run, at(5, lambda: control.request_stop(run), slow=0.3))
    longer = tiny_spec("training.steps=48")
    upcoming = agreement.upcoming_rate_change(run, longer)
    assert agreement.upcoming_rate_change(run, tiny_spec()) is None
    registry.open_run(run, longer, NOW, override=True)
    with caplog.at_level(logging.WARNING):
        go(run, at(2, lambda: control.request_stop(run), slow=0.3), spec=longer)
    (event,) = events(run, 2, kinds.LearningRate)
    step = events(run, 2, kinds.Restored)[0].step
    change = agreement.rate_change(as_json(tiny_spec().training), longer.training, step)
    assert change == upcoming
    _, old, new = change
    assert (event.step, event.old, event.new) == change
    assert old < new
    assert f"the learning rate jumps from {old:.4g} to {new:.4g} after step {step}" in caplog.text
    told = {"step": step, "old": old, "new": new}
    assert status(run, {})["learning_rate_change"] == told
    # Once is enough: the checkpoints from here on are of the new section.
    go(run, at(1, lambda: control.request_stop(run), slow=0.3), spec=longer)
    assert events(run, 3, kinds.LearningRate) == []
    assert status(run, {})["learning_rate_change"] == told


def test_of_a_run_without_a_checkpoint_no_jump_is_foreseen(local_run, tmp_path):
    longer = tiny_spec("training.steps=48")
    assert agreement.upcoming_rate_change(local_run, longer) is None
    assert agreement.upcoming_rate_change(Run(local_run.store, "none"), longer) is None


def test_fewer_steps_than_done_are_refused_before_anything_is_replaced(local_run):
    save(local_run, 1, 20)
    before = local_run.store.read(local_run.job_file)
    for steps in ("19", "3"):
        spec = tiny_spec(f"training.steps={steps}")
        with pytest.raises(SpecConflict) as caught:
            agreement.require_steps_left(local_run, spec)
        assert "has done 20 steps, which is more than training.steps=" + steps in str(caught.value)
    for steps in ("20", "24", "48"):
        agreement.require_steps_left(local_run, tiny_spec(f"training.steps={steps}"))
    assert local_run.store.read(local_run.job_file) == before


def test_an_attempt_with_too_few_steps_ends_with_the_same_message(local_run):
    go(local_run, at(9, lambda: control.request_stop(local_run), slow=0.3))
    shorter = tiny_spec("training.steps=4")
    registry.open_run(local_run, shorter, NOW, override=True)
    ended = go(local_run, spec=shorter)
    assert ended.outcome == "bad_input"
    assert "steps, which is more than training.steps=4. Give" in ended.reason

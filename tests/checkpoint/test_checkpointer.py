import pytest

from ardm.checkpoint.digest import digest
from ardm.errors import Superseded
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.store import claims
from tests.runner.scene import Scene
from tests.runner.setting import cut_off, save, small_state


def test_saves_are_an_interval_apart(run):
    scene = Scene(run)
    assert not scene.offer(1)
    assert not scene.offer(2, after=9.0)
    assert scene.offer(3, after=1.0)
    assert not scene.offer(4, after=9.9)
    assert scene.offer(5, after=0.1)
    assert scene.steps() == [3, 5]
    saved = scene.events(kinds.Saved)
    assert [(e.step, e.digest) for e in saved] == [(s, digest(small_state(s))) for s in (3, 5)]
    assert all(e.bytes > 0 and e.seconds >= 0 for e in saved)


def test_steps_to_be_kept_for_good_are_saved_whatever_the_time(local_run):
    scene = Scene(local_run, keep_every=4, keep_last=1)
    assert [step for step in range(1, 10) if scene.offer(step)] == [4, 8]
    assert scene.offer(9, after=10.0)
    assert scene.steps() == [4, 8, 9]


def test_what_is_no_longer_needed_is_pruned(local_run):
    scene = Scene(local_run, keep_last=2)
    assert all(scene.offer(step, after=10.0) for step in (1, 2, 3, 4))
    assert scene.steps() == [3, 4]


def test_the_last_state_is_saved_and_waited_for(run):
    scene = Scene(run)
    scene.saver.finish(7, small_state(7), scene.deadline(60.0))
    assert scene.steps() == [7]
    assert scene.clock.slept == []


def test_what_is_saved_already_is_not_saved_again(local_run):
    scene = Scene(local_run)
    assert scene.offer(3, after=10.0)
    scene.saver.finish(3, small_state(3), scene.deadline(60.0))
    assert len(scene.events(kinds.Saved)) == 1
    again = Scene(local_run, restored=3)
    again.saver.finish(3, small_state(3), again.deadline(60.0))
    assert again.events(kinds.Saved) == []


def test_a_newer_claim_ends_the_saving(run):
    scene = Scene(run)
    assert scene.offer(1, after=10.0)
    newer = claims.claim(run, {})
    assert not scene.offer(2, after=10.0)
    assert scene.saver.superseded_by == newer
    with pytest.raises(Superseded, match=f"attempt {newer} holds the run"):
        scene.saver.raise_if_superseded()
    with pytest.raises(Superseded):
        scene.saver.finish(3, small_state(3), scene.deadline(60.0))
    assert scene.steps() == [1]


def test_a_save_overtaken_by_a_newer_claim_removes_nothing(local_run):
    """The new attempt may be reading the very checkpoint that would be pruned."""
    scene = Scene(local_run, keep_last=1)
    assert scene.offer(1, after=10.0)

    class Late(EventLog):
        """The claim comes between the commit of a save and its pruning."""

        def add(self, event):
            if isinstance(event, kinds.Saved):
                claims.claim(local_run, {})
            return super().add(event)

    scene.saver._events = Late(local_run, scene.number)
    assert scene.offer(2, after=10.0)
    assert scene.steps() == [1, 2]


def test_the_first_save_of_an_attempt_sweeps_up_after_the_dead_ones(local_run):
    dead = claims.claim(local_run, {})
    save(local_run, dead, 2)
    cut_off(local_run, dead, 4)
    assert Scene(local_run).offer(3, after=10.0)
    assert local_run.store.names(f"{local_run.checkpoints_dir}/{dead:06d}") == ["2"]

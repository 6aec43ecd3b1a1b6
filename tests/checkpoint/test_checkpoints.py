"""Checkpoints on both kinds of store: nothing but the state that was saved is ever given back."""

from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ardm.checkpoint import checkpoints, restore
from ardm.checkpoint.checkpoints import Checkpoint, Damaged, Gone
from ardm.checkpoint.digest import digest
from ardm.checkpoint.serialization import COMPLETE
from ardm.errors import InputError
from tests.runner.setting import cut_off, files_of, like, opened, save, small_state


def newest(run):
    """Step and state of the newest sound checkpoint; (step, reason) of what was passed over."""
    passed = []
    found = restore.newest_verified(
        run, like(small_state(0)), lambda place, error: passed.append((place.step, str(error)))
    )
    return (found[0].step, found[1], passed) if found else (None, None, passed)


def assert_same(one, other):
    assert digest(one) == digest(other)
    assert jax.tree.structure(one) == jax.tree.structure(other)


def test_a_state_comes_back_bit_by_bit_with_its_types(run):
    place = save(run, 1, 4)
    state, metadata = checkpoints.load(place, like(small_state(0)))
    assert_same(state, small_state(4))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(state))
    assert metadata == {
        "digest": digest(small_state(4)), "step": 4, "attempt": 1, "time": 1004.0,
    }  # fmt: skip
    assert checkpoints.metadata(place) == metadata
    assert checkpoints.entries(run)[0].bytes == sum(map(len, files_of(place).values()))


def test_a_save_fails_if_orbax_leaves_other_files_than_expected(run, monkeypatch):
    """Orbax 0.12.0 wrote no commit file, and every checkpoint would have counted as unfinished."""
    write = ocp.Checkpointer.save

    def without_commit_file(self, directory, *args, **kwargs):
        write(self, directory, *args, **kwargs)
        (Path(directory) / COMPLETE).unlink()

    monkeypatch.setattr(ocp.Checkpointer, "save", without_commit_file)
    with pytest.raises(OSError, match=r"Orbax .* has written other files"):
        save(run, 1, 4)
    assert newest(run)[0] is None


def test_the_digest_can_be_checked_without_knowing_the_state(run):
    place = save(run, 1, 4)
    assert checkpoints.verify(place)["digest"] == digest(small_state(4))


def test_the_newest_is_the_largest_step_over_all_attempts(run):
    assert newest(run) == (None, None, [])
    for attempt, step in [(1, 9), (1, 20), (2, 100), (3, 30)]:
        save(run, attempt, step)
    step, state, passed = newest(run)
    assert (step, passed) == (100, [])
    assert_same(state, small_state(100))
    assert [(p.step, p.attempt) for p in checkpoints.committed(run)] == [
        (100, 2), (30, 3), (20, 1), (9, 1),
    ]  # fmt: skip


def test_a_second_save_of_a_step_replaces_the_first(run):
    save(run, 1, 4)
    place = save(run, 1, 4)
    assert checkpoints.verify(place)["digest"] == digest(small_state(4))


# Orbax (0.12.8) leaves an event loop behind where a restore fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(120)
def test_no_damage_to_any_file_is_ever_taken_for_a_state(run):
    """Every file of the newest checkpoint in turn: cut, emptied, overwritten, changed, removed."""
    store, good, bad = run.store, save(run, 1, 1), save(run, 1, 2)
    whole, noticed = files_of(bad), []
    for name, data in whole.items():
        middle = len(data) // 2
        damages = {
            "cut": data[:middle],
            "empty": b"",
            "zeroed": b"\0" * len(data),
            "first bit": bytes([data[0] ^ 1]) + data[1:] if data else b"x",
            "bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else b"x",
            "gone": None,
        }
        for damage, content in damages.items():
            if content is None:
                store.fs.rm(store.path(name))
            else:
                store.fs.pipe_file(store.path(name), content)
            step, state, passed = newest(run)
            where = f"{damage} {name}"
            # A file whose loss leaves the state whole may be missed by nobody.
            assert step in (good.step, bad.step), where
            assert digest(state) == digest(small_state(step)), where
            assert [s for s, _ in passed] == ([bad.step] if step == good.step else []), where
            assert all(reason and "\n" not in reason for _, reason in passed)
            noticed += [(damage, name.rsplit("/", 1)[-1])] if passed else []
            store.fs.pipe_file(store.path(name), data)
    step, _, passed = newest(run)
    assert (step, passed) == (bad.step, [])
    # The arrays themselves are in the largest file.
    arrays = max(whole, key=lambda name: len(whole[name])).rsplit("/", 1)[-1]
    assert {damage for damage, name in noticed if name == arrays} == set(damages)


def test_damage_to_the_arrays_is_found_without_knowing_the_state(run):
    place = save(run, 1, 2)
    name, data = max(files_of(place).items(), key=lambda item: len(item[1]))
    run.store.fs.pipe_file(run.store.path(name), data[: len(data) // 2] + b"\0" * (len(data) // 2))
    with pytest.raises(Damaged):
        checkpoints.verify(place)


def test_a_checkpoint_of_another_model_is_refused_and_not_taken_for_damage(run):
    place = save(run, 1, 2)
    other = like(small_state(0))
    other.params["net"]["kernel"] = jax.ShapeDtypeStruct((3, 5), np.float32)
    where = r"whole, but not of this model.*kernel.*expected float32\[3, 5\], found float32\[3, 4\]"
    with pytest.raises(InputError, match=where):
        restore.newest_verified(run, other, lambda *skipped: None)
    assert checkpoints.verify(place)["step"] == 2


# Orbax (0.12.8) leaves an event loop behind where a restore fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_checkpoint_of_another_version_is_refused_and_not_taken_for_damage(run):
    """As those are that hold the parameters as a tree, where they are a vector now."""
    state = small_state(4)._replace(params=np.zeros(3, np.float32))
    place = Checkpoint(run, 1, 4)
    checkpoints.save(place, state, {"digest": digest(state), "step": 4})
    with pytest.raises(InputError, match="not of this version"):
        newest(run)
    assert checkpoints.verify(place)["step"] == 4


def test_a_digest_that_belongs_to_other_arrays_is_damage(run):
    place = Checkpoint(run, 1, 2)
    checkpoints.save(place, small_state(2), {"digest": digest(small_state(3)), "step": 2})
    with pytest.raises(Damaged, match="digest differs"):
        checkpoints.load(place, like(small_state(0)))
    with pytest.raises(Damaged, match="digest differs"):
        checkpoints.verify(place)


def test_a_checkpoint_without_a_digest_is_damage(run):
    place = Checkpoint(run, 1, 2)
    checkpoints.save(place, small_state(2), {"step": 2})
    with pytest.raises(Damaged, match="no digest"):
        checkpoints.load(place, like(small_state(0)))


def test_nothing_at_all_is_no_damage(run):
    """It was pruned, or never there."""
    with pytest.raises(Gone):
        checkpoints.load(Checkpoint(run, 1, 2), like(small_state(0)))


def test_an_unfinished_save_is_passed_over(run):
    save(run, 1, 1)
    cut_off(run, 1, 2)
    step, state, passed = newest(run)
    assert step == 1
    assert_same(state, small_state(1))
    assert passed == ([] if run.store.is_local else [(2, "unfinished")])
    assert [place.step for place in checkpoints.committed(run)] == [1]


def test_a_save_takes_the_place_of_an_unfinished_one(run):
    cut_off(run, 1, 2)
    save(run, 1, 2)
    assert newest(run)[0] == 2


def test_the_name_of_an_unfinished_save_is_one_that_orbax_uses(tmp_path):
    """The test above makes such a directory by hand."""
    name = ocp.path.atomicity.AtomicRenameTemporaryPath.from_final(tmp_path / "2").get().name
    assert name.startswith("2.orbax-checkpoint-tmp")


def test_leaves_that_are_views_of_one_array_are_saved_each(run):
    """The average begins as the parameters themselves."""
    shared = np.arange(4.0, dtype=np.float32)
    place = Checkpoint(run, 1, 1)
    state = {"params": shared, "ema": shared}
    checkpoints.save(place, state, {"digest": digest(state)})
    assert checkpoints.verify(place)["digest"] == digest(state)


@pytest.mark.parametrize(
    "odd", ["My Drive", "[1]", "a*b?", "x;id", 'it\'s "q"', "50%20", "#1", "ü"]
)
def test_a_checkpoint_may_lie_below_any_name(tmp_path, odd):
    run = opened(str(tmp_path / odd))
    place = save(run, 1, 3)
    assert checkpoints.committed(run) == [place]
    state, _ = checkpoints.load(place, like(small_state(3)))
    assert digest(state) == digest(small_state(3))
    assert checkpoints.verify(save(run, 1, 5))["step"] == 5

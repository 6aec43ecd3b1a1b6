from ardm.checkpoint import checkpoints, preservation, restore
from ardm.checkpoint.digest import digest
from tests.runner.setting import cut_off, files_of, like, save, small_state


def steps(run):
    return sorted((place.step, place.attempt) for place in checkpoints.committed(run))


def test_pruning_keeps_the_newest_steps_and_those_for_good(run):
    places = [save(run, 1, step) for step in (2, 4, 6, 10)] + [save(run, 2, 12)]
    assert sorted(preservation.prune(places[-1], keep_last=2, keep_every=4)) == [2, 6]
    assert steps(run) == [(4, 1), (10, 1), (12, 2)]
    assert preservation.prune(places[-1], keep_last=1, keep_every=None) == [10, 4]
    assert steps(run) == [(12, 2)]
    assert preservation.prune(places[-1], keep_last=1, keep_every=None) == []


def test_two_attempts_at_a_step_count_as_one(run):
    for attempt, step in [(1, 2), (1, 4), (2, 4)]:
        save(run, attempt, step)
    mine = save(run, 2, 6)
    preservation.prune(mine, keep_last=2, keep_every=None)
    assert steps(run) == [(4, 1), (4, 2), (6, 2)]


def test_a_damaged_newer_checkpoint_of_an_older_attempt_never_costs_a_good_one(run):
    """Attempt 1 came further; what it saved last is damaged, and attempt 2 began at step 4."""
    save(run, 1, 4)
    for step in (8, 9):
        place = save(run, 1, step)
        for name in files_of(place):
            if not name.endswith("commit_success.txt"):
                run.store.fs.pipe_file(run.store.path(name), b"rot")
    mine = save(run, 2, 5)
    preservation.prune(mine, keep_last=1, keep_every=None)
    assert (5, 2) in steps(run)
    assert (8, 1) in steps(run)
    found = restore.newest_verified(run, like(small_state(0)), lambda place, error: None)
    assert found[0] == mine


def test_what_is_quarantined_is_kept_and_no_longer_found(run):
    place = save(run, 1, 2)
    before = {name.removeprefix(place.name): data for name, data in files_of(place).items()}
    moved = preservation.quarantine(place)
    assert moved == run.damaged(1, 2)
    assert steps(run) == []
    root = run.store.path(moved)
    found = run.store.fs.find(root)
    assert {path.removeprefix(root): run.store.fs.cat_file(path) for path in found} == before
    save(run, 1, 2)
    assert preservation.quarantine(place) == moved


def test_unfinished_saves_of_attempts_before_are_swept_up_and_nothing_else(run):
    for number in (1, 2, 3):
        save(run, number, 10 * number)
        cut_off(run, number, 10 * number + 1)
    gone = preservation.sweep(run, 2)
    assert [name.startswith(run.checkpoint(1, 11)) for name in gone] == [True]
    assert steps(run) == [(10, 1), (20, 2), (30, 3)]
    kept = [run.store.names(f"{run.checkpoints_dir}/{number:06d}") for number in (1, 2, 3)]
    assert [len(names) for names in kept] == [1, 2, 2]
    assert preservation.sweep(run, 2) == []


def test_pruning_removes_nothing_of_a_newer_attempt(local_run):
    """It may have begun with an older step, as when the newest one was damaged."""
    save(local_run, 2, 4)
    mine = [save(local_run, 1, step) for step in (5, 6)][-1]
    assert preservation.prune(mine, keep_last=1, keep_every=None) == [5]
    assert steps(local_run) == [(4, 2), (6, 1)]


def test_what_a_failed_save_left_is_discarded_and_a_finished_one_is_not(run):
    save(run, 1, 1)
    cut_off(run, 1, 2)
    cut_off(run, 1, 21)
    for step in (1, 2, 3):
        preservation.discard(checkpoints.Checkpoint(run, 1, step))
    assert steps(run) == [(1, 1)]
    names = run.store.names(f"{run.checkpoints_dir}/000001")
    assert [name.partition(".")[0] for name in names] == ["1", "21"]


def test_a_checkpoint_is_good_if_it_is_finished_and_holds_what_it_should(run):
    place = save(run, 1, 2)
    mine = digest(small_state(2))
    assert preservation.is_good(place, mine)
    assert not preservation.is_good(place, digest(small_state(3)))
    assert not preservation.is_good(checkpoints.Checkpoint(run, 1, 3), mine)
    cut_off(run, 1, 2)
    assert not preservation.is_good(place, mine)

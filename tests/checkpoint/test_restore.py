"""Only bytes that were read and are wrong count as damage; a run never starts over for less."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ardm.checkpoint import checkpoints, restore, serialization
from ardm.checkpoint.digest import digest
from ardm.errors import Unreadable
from ardm.events import kinds
from ardm.runner.context import Notice, Timings
from ardm.store import overrides, registry
from ardm.store.run_directory import Run
from tests.runner.setting import events, like, newest_digest, save, small_state, tiny_spec
from tests.runner.test_attempt import at, go

# Orbax (0.12.8) leaves an event loop behind where a restore fails.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def make_unreadable(checkpoint) -> Path:
    """A link to itself in place of the arrays: the kernel refuses to open it, even for root."""
    folder = Path(checkpoint.run.store.path(checkpoint.name))
    largest = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    kept = largest.with_name(f"{largest.name}.kept")
    largest.rename(kept)
    largest.symlink_to(largest)
    return largest


def make_readable(link: Path) -> None:
    link.unlink()
    link.with_name(f"{link.name}.kept").rename(link)


def newest(run, **options):
    passed = []
    found = restore.newest_verified(
        run, like(small_state(0)), lambda c, error: passed.append((c.step, type(error))), **options
    )
    return (found[0].step if found else None), passed


def test_a_checkpoint_that_cannot_be_read_is_waited_for_and_then_passed_over(local_run):
    save(local_run, 1, 2)
    make_unreadable(save(local_run, 1, 4))
    with pytest.raises(OSError, match="symbolic links"):
        newest(local_run, fall_back=False)
    assert newest(local_run) == (2, [(4, OSError)])
    assert [c.step for c in checkpoints.committed(local_run)] == [4, 2]


def test_a_run_whose_checkpoints_cannot_be_read_stops_with_the_reason(local_run, finished):
    notice = Notice()
    go(local_run, at(9, lambda: setattr(notice, "reason", "spot")), notice)
    found = checkpoints.committed(local_run)
    links = [make_unreadable(checkpoint) for checkpoint in found]
    ended = go(local_run, timings=Timings(start=0.5))
    assert (ended.outcome, ended.step) == ("storage_fault", 0)
    assert f"none of {len(found)} checkpoints" in ended.reason
    assert "Too many levels of symbolic links" in ended.reason
    assert checkpoints.committed(local_run) == found
    for link in links:
        make_readable(link)
    assert go(local_run).outcome == "completed"
    assert newest_digest(local_run) == newest_digest(finished)
    assert events(local_run, 3, kinds.Restored)[0].step == found[0].step


def test_all_checkpoints_unreadable_is_an_error_of_its_own(local_run):
    for step in (2, 4):
        make_unreadable(save(local_run, 1, step))
    with pytest.raises(Unreadable, match="none of 2 checkpoints"):
        newest(local_run)


def test_too_little_memory_is_no_damage(local_run, monkeypatch):
    save(local_run, 1, 2)

    class Checkpointer:
        def __enter__(self):
            raise MemoryError

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(serialization, "_checkpointer", Checkpointer)
    with pytest.raises(MemoryError, match="needs more memory"):
        newest(local_run)
    assert [c.step for c in checkpoints.committed(local_run)] == [2]


def test_a_reader_looks_again_when_what_it_reads_is_pruned(run):
    """The run saves on, and prunes, while a slow reader is at its checkpoint."""
    saved = [save(run, 1, 1)]
    read = []

    def slow(checkpoint):
        read.append(checkpoint.step)
        if len(read) < 3:
            saved.append(save(run, 1, checkpoint.step + 1))
            run.store.remove_tree(checkpoint.name)
        return checkpoints.load(checkpoint, like(small_state(0)))

    passed = []
    found = restore.newest_usable(run, slow, lambda *skipped: passed.append(skipped))
    assert (found[0].step, passed) == (3, [])
    assert digest(found[1]) == digest(small_state(3))


def test_a_save_under_a_replaced_spec_never_wins(run: Run):
    """An attempt that trains the old spec saves on while the new one has begun."""
    run.store.create(run.claim(1), b"{}")
    save(run, 1, 10)
    overrides.record(run, ["training.learning_rate: 0.01 -> 0.02"])
    run.store.create(run.claim(2), b"{}")
    save(run, 2, 11)
    save(run, 1, 20)
    assert newest(run) == (11, [])
    overrides.record(run, [])
    assert newest(run) == (11, [])
    run.store.write(run.override(1), b"torn")
    assert overrides.boundaries(run) == [2]


def test_an_override_replaces_the_spec_for_attempts_that_come(run):
    spec = tiny_spec("training.learning_rate=0.02")
    registry.open_run(run, spec, datetime.now(UTC), override=True)
    assert registry.read_spec(run) == spec
    assert overrides.boundaries(run) == [0]
    record = run.store.read_record(run.override(1))
    assert record["changed"] == ["training.learning_rate: 0.01 -> 0.02"]

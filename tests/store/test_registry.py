import json
from datetime import timedelta

import pytest

from ardm.checkpoint import checkpoints
from ardm.checkpoint.digest import digest
from ardm.errors import InputError, NotFound, SpecConflict, SpecError
from ardm.job.spec import load, load_frozen
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.runner.setting import NOW, opened, small_state, tiny_spec


def test_a_new_run_freezes_its_spec_and_an_equal_one_goes_on(store_uri, spec):
    run = opened(store_uri, "again")
    assert registry.read_spec(run) == spec
    assert registry.open_run(run, spec, NOW + timedelta(days=1)) is False
    assert registry.entries(run.store)[0].created == "2026-11-24T09:15:00+00:00"


def test_another_spec_is_refused_with_all_its_differences(run, spec):
    other = tiny_spec("seed=8", "training.steps=50")
    with pytest.raises(SpecConflict) as caught:
        registry.open_run(run, other, NOW)
    assert "seed: 7 -> 8" in str(caught.value)
    assert "training.steps: 24 -> 50" in str(caught.value)
    assert "--override" in str(caught.value)
    assert registry.read_spec(run) == spec


def test_an_override_is_recorded_and_the_replaced_specs_are_kept(run, spec):
    second, third = tiny_spec("training.steps=50"), tiny_spec("training.steps=60")
    frozen = run.store.read(run.job_file)
    assert registry.open_run(run, second, NOW + timedelta(hours=1), override=True) is False
    assert registry.open_run(run, third, NOW + timedelta(hours=2), override=True) is False
    assert registry.read_spec(run) == third
    assert run.store.read(run.replaced_job_file(1)) == frozen
    assert b"steps: 50" in run.store.read(run.replaced_job_file(2))
    assert [entry.created for entry in registry.entries(run.store)] == ["2026-11-24T09:15:00+00:00"]


def test_an_override_without_a_difference_changes_nothing(run, spec):
    registry.open_run(run, spec, NOW, override=True)
    assert run.store.read(run.replaced_job_file(1)) is None


def test_other_workers_are_no_other_spec(run):
    more = tiny_spec("scaling.workers=2")
    assert registry.open_run(run, more, NOW) is False
    assert registry.read_spec(run) == more


def test_an_unknown_run_is_answered_with_those_there_are(run):
    opened(run.store.uri, "tiny-2")
    with pytest.raises(NotFound, match=r"no run 'tiny-3'.*Known runs: tiny-1, tiny-2"):
        registry.read_spec(Run(run.store, "tiny-3"))


def test_the_newest_run_is_found_by_job_or_among_all(store_uri):
    store = opened(store_uri, "first").store
    with pytest.raises(NotFound, match=r"no run of job 'other'.*Known runs: first"):
        registry.newest(store, "other")
    later = Run(store, "another")
    registry.open_run(later, tiny_spec("job=other"), NOW + timedelta(seconds=1))
    assert registry.newest(store).name == "another"
    assert registry.newest(store, "tiny").name == "first"
    assert [entry.job for entry in registry.entries(store)] == ["tiny", "other"]


def test_an_empty_store_has_no_newest_run(tmp_path):
    with pytest.raises(NotFound, match="Known runs: none"):
        registry.newest(Store(str(tmp_path)))


def test_what_is_no_run_is_passed_over(run):
    run.store.write("_shared/data/x", b"x")
    run.store.write("notes/readme", b"x")
    assert [entry.run.name for entry in registry.entries(run.store)] == ["tiny-1"]


def test_a_new_name_holds_the_job_and_the_time(store_uri):
    """Two runs that begin in the same second are two runs, even of the same job."""
    store = Store(store_uri)
    names = [registry.open_new_run(store, tiny_spec(), NOW).name for _ in range(3)]
    assert names == [f"tiny-20261124-091500{ending}" for ending in ("", "-2", "-3")]
    assert registry.newest(store, "tiny").name == names[-1]


def test_a_spec_that_is_lost_or_torn_is_taken_from_a_claim(run):
    spec = tiny_spec("training.learning_rate=0.02")
    registry.open_run(run, spec, NOW, override=True)
    whole = run.store.read(run.job_file)
    run.store.create(run.claim(1), json.dumps({"spec": spec.model_dump(mode="json")}).encode())
    run.store.create(run.claim(2), b"")
    # Cut anywhere, even where what is left is valid YAML.
    for data in (b"", b"\0" * 100, *(whole[:size] for size in range(60, len(whole), 97))):
        run.store.write(run.job_file, data)
        assert registry.read_spec(run) == spec
    with pytest.raises(SpecConflict):
        registry.open_run(run, tiny_spec(), NOW)
    assert not registry.open_run(run, spec, NOW)
    assert run.store.read(run.job_file).endswith(whole.split(b"\n", 1)[1])
    run.store.remove([run.job_file])
    assert registry.read_spec(run) == spec
    assert not registry.open_run(run, spec, NOW)
    assert run.store.read(run.job_file) is not None


def test_a_spec_that_is_torn_is_taken_from_a_checkpoint_where_no_claim_has_it(run):
    state = small_state(2)
    about = {"digest": digest(state), "time": 1.0, "spec": tiny_spec().model_dump(mode="json")}
    checkpoints.save(checkpoints.Checkpoint(run, 1, 2), state, about)
    run.store.write(run.job_file, b"job: ti")
    assert registry.read_spec(run) == tiny_spec()


def test_a_torn_spec_without_a_copy_is_written_anew_by_the_next_training(run):
    run.store.write(run.job_file, b"job: [")
    with pytest.raises(InputError, match="no attempt has left a copy"):
        registry.read_spec(run)
    assert not registry.open_run(run, tiny_spec(), NOW)
    assert registry.read_spec(run) == tiny_spec()


def test_a_job_file_of_an_earlier_version_is_still_read(run):
    text = run.store.read(run.job_file).removesuffix(b"...\n")
    run.store.write(run.job_file, text)
    assert registry.read_spec(run) == tiny_spec()


def test_a_rule_that_came_later_does_not_lock_a_run(run, tmp_path):
    text = tiny_spec("limits.cost=5", "scaling.price_per_worker_hour=1").to_yaml()
    for now, then in {
        "price_per_worker_hour: 1.0": "price_per_worker_hour: 0.0",
        "notify: []": "notify: [ntfy.sh/topic]",
        "- tensorboard": "- tensorboard\n- tensorboard",
    }.items():
        assert now in text
        text = text.replace(now, then)
    run.store.write(run.job_file, text.encode())
    assert registry.read_spec(run).notify == ("ntfy.sh/topic",)
    pulled = tmp_path / "job.yaml"
    pulled.write_text(text)
    assert load_frozen(pulled) == registry.read_spec(run)
    with pytest.raises(SpecError, match="3 faults"):
        load(pulled)


def test_a_run_whose_files_are_torn_is_listed_and_hides_no_other(run):
    other = Run(run.store, "other")
    registry.open_run(other, tiny_spec(), NOW)
    claim = {"time": NOW.timestamp() + 60, "spec": {"job": "tiny"}}
    run.store.create(run.claim(1), json.dumps(claim).encode())
    run.store.write(run.job_file, b"\xff\xfe")
    found = [(entry.run.name, entry.job) for entry in registry.entries(run.store)]
    assert found == [("other", "tiny"), ("tiny-1", "tiny")]
    run.store.write(run.claim(1), b"")
    assert [entry.run.name for entry in registry.entries(run.store)] == ["tiny-1", "other"]

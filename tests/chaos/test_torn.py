"""Torn files of a run directory, over real files and a real bucket."""

import pytest

from ardm.chaos import power_cut
from ardm.chaos.power_cut import Tear
from ardm.chaos.schedule import TEARS, TORN, PlannedFault
from ardm.store.run_directory import Run
from ardm.store.store import Store

FILES = {
    "claim": "attempts/000001.json",
    "segment": "events/000001/000000.jsonl",
    "progress": "progress/000001.json",
    "spec": "job.yaml",
    "submission": "submission.json",
}
"""One file of each kind that a new run has; it has no summary yet."""


@pytest.fixture
def run(store_uri):
    run = Run(Store(store_uri), "torn")
    others = ["attempts/000001.stop", "checkpoints/000001/5/_METADATA", "logs/driver.json"]
    for name in [*FILES.values(), *others]:
        run.store.write(f"{run.name}/{name}", b'{"a": 1}')
    return run


def planned(first: str, how: str = "empty") -> PlannedFault:
    files = [first, *(kind for kind in TORN if kind != first)]
    return PlannedFault(0.0, "torn", 0.5, {"files": files, "how": how})


def content(run: Run) -> dict[str, bytes]:
    return {name: run.store.read(f"{run.name}/{name}") for name in run.store.files(run.name)}


def test_each_kind_matches_its_files_and_no_others(run):
    assert set(power_cut.FILES) == set(TORN)
    names = list(power_cut.small_files(run))
    assert {kind: power_cut.of_kind(names, kind) for kind in TORN} == {
        kind: [FILES[kind]] if kind in FILES else [] for kind in TORN
    }


def test_a_kind_without_files_is_skipped(run):
    chosen = power_cut.choose(run, planned("summary"))
    assert chosen == Tear("claim", "torn/attempts/000001.json", "empty", 0.5)
    assert str(chosen) == "attempts/000001.json emptied"
    assert power_cut.choose(Run(run.store, "none"), planned("summary")) is None


@pytest.mark.parametrize("how", TEARS)
@pytest.mark.parametrize("kind", sorted(FILES))
def test_one_file_is_torn_and_nothing_else_changes(run, kind, how):
    before = content(run)
    power_cut.tear(run.store, power_cut.choose(run, planned(kind, how)))
    after, name = content(run), FILES[kind]
    changed = {path: data for path, data in after.items() if before.get(path) != data}
    folder, _, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    beside = f"{folder}/" if folder else ""
    shadow = f"{beside}._{last}"
    assert (
        changed
        == {
            "empty": {name: b""},
            "truncate": {name: b'{"a"'},
            "copy": {f"{beside}{stem} (1).{ending}": b'{"a": 1}'},
            "shadow": {shadow: after.get(shadow)},
        }[how]
    )
    assert run.attempts() == [1]


def test_a_file_that_has_been_removed_is_not_written(run):
    before = content(run)
    power_cut.tear(run.store, Tear("claim", "torn/attempts/000009.json", "copy", 0.5))
    assert content(run) == before

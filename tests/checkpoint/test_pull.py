import json
from pathlib import Path

import pytest

from ardm.checkpoint import checkpoints, serialization
from ardm.checkpoint.digest import digest
from ardm.checkpoint.pull import pull
from ardm.errors import InputError, NotFound
from ardm.job.spec import load
from tests.runner.setting import files_of, save, small_state, tiny_spec


def rot(place):
    for name in files_of(place):
        if "/d/" in name:
            place.run.store.fs.pipe_file(place.run.store.path(name), b"rot")


def test_the_newest_checkpoint_is_taken_away_with_all_that_is_needed_to_use_it(run, tmp_path):
    save(run, 1, 4)
    save(run, 2, 6)
    to = tmp_path / "new" / "here"
    told = pull(run, to)
    expected = digest(small_state(6))
    assert told == {"run": "tiny-1", "step": 6, "digest": expected, "to": str(to), "skipped": []}
    assert serialization.verify(to / "checkpoint")["digest"] == expected
    assert load(to / "job.yaml") == tiny_spec()
    note = json.loads((to / "pulled.json").read_text())
    assert (note["step"], note["attempt"], note["digest"]) == (6, 2, expected)
    assert (note["shape"], note["classes"]) == ([28, 28, 1], 2)
    assert sorted(p.name for p in to.parent.iterdir()) == ["here"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_passed_over_and_told(run, tmp_path):
    save(run, 1, 4)
    rot(save(run, 1, 6))
    told = pull(run, tmp_path / "here")
    assert told["step"] == 4
    assert [skip["step"] for skip in told["skipped"]] == [6]
    assert told["skipped"][0]["reason"]
    # Looking does not move anything: only who trains sets aside.
    assert len(checkpoints.committed(run)) == 2


def test_a_later_pull_replaces_an_earlier_one(local_run, tmp_path):
    save(local_run, 1, 4)
    pull(local_run, tmp_path / "here")
    save(local_run, 1, 6)
    assert pull(local_run, tmp_path / "here")["step"] == 6
    assert serialization.verify(tmp_path / "here" / "checkpoint")["step"] == 6


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_pull_that_fails_leaves_the_earlier_one(local_run, tmp_path):
    place = save(local_run, 1, 4)
    pull(local_run, tmp_path / "here")
    rot(place)
    with pytest.raises(NotFound, match=r"no checkpoint that can be used yet \(step 4: "):
        pull(local_run, tmp_path / "here")
    assert serialization.verify(tmp_path / "here" / "checkpoint")["step"] == 4


def test_a_directory_of_somebody_else_is_refused_and_not_touched(local_run, tmp_path):
    save(local_run, 1, 4)
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.tex").write_text("years of work")
    with pytest.raises(InputError, match="name another directory"):
        pull(local_run, mine)
    with pytest.raises(InputError, match="name another directory"):
        pull(local_run, mine / "chapter.tex")
    assert (mine / "chapter.tex").read_text() == "years of work"


def test_an_empty_directory_will_do_be_it_the_current_one(local_run, tmp_path, monkeypatch):
    save(local_run, 1, 4)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert pull(local_run, Path())["step"] == 4
    assert (here / "pulled.json").exists()


def test_a_run_without_a_checkpoint_says_so(run, tmp_path):
    with pytest.raises(NotFound, match="none saved"):
        pull(run, tmp_path / "here")
    assert not (tmp_path / "here").exists()

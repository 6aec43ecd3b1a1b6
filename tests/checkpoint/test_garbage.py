"""What is swept, and above all what is not."""

import os
import subprocess
import sys
import time
from pathlib import Path

from ardm.checkpoint import garbage
from ardm.checkpoint.garbage import DAY, HOUR, KEPT_RESULTS
from ardm.store import home
from ardm.store.store import Store

ASIDE = "0" * 32


def later(seconds: float):
    return lambda: time.time() + seconds


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_only_folders_of_dead_processes_that_are_silent_are_swept(tmp_path, monkeypatch):
    monkeypatch.setenv("ARDM_HOME", str(tmp_path / "home"))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f"ardm-{ended.pid}-x", f"{home.temporary_prefix()}y", "ardm-chaos-z", "other"):
        (tmp_path / name / "logs").mkdir(parents=True)
        (tmp_path / name / "logs" / "log").write_text("said")
    garbage.sweep_machine([tmp_path])
    assert len(files(tmp_path)) == 4
    garbage.sweep_machine([tmp_path], later(2 * HOUR))
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{home.temporary_prefix()}y", "ardm-chaos-z", "other",
    }  # fmt: skip


def test_old_bookkeeping_of_ray_train_is_swept(tmp_path, monkeypatch):
    monkeypatch.setenv("ARDM_HOME", str(tmp_path))
    results = tmp_path / "ray-results"
    for name in ("old", "new"):
        (results / name).mkdir(parents=True)
    os.utime(results / "old", (0, 0))
    garbage.sweep_machine([tmp_path / "none"])
    assert [path.name for path in results.iterdir()] == ["new"]
    garbage.sweep_machine([tmp_path / "none"], later(2 * KEPT_RESULTS))
    assert list(results.iterdir()) == []


def test_a_store_is_swept_of_what_got_no_name(store_uri):
    store = Store(store_uri)
    kept = ["mine/progress/000001.json", f"mine/checkpoints/1/{ASIDE}", f"other/a.{ASIDE}"]
    gone = [".probe-1", f"mine/attempts/000001.json.{ASIDE}", f"_shared/data/x.{ASIDE}.part"]
    for name in (*kept, *gone):
        store.write(name, b"content")
    garbage.sweep_store(store, "mine")
    assert len(store.read_many([*kept, *gone])) == 6
    garbage.sweep_store(store, "mine", later(2 * DAY))
    assert len(store.read_many(kept)) == 3
    assert store.read(".probe-1") is None
    if store.is_local:
        assert store.read_many(gone) == {}

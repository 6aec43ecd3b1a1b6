"""Records with values that no version of ardm wrote: every view of the run still shows something.

A disk, a hand or a version to come may have changed them; a run must not be lost from sight.
"""

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ardm.analysis.overview import overview
from ardm.cli.main import app
from ardm.html import pages
from ardm.html.collect import collect
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.conftest import EXAMPLES
from tests.runner.invented import add_attempt, new_run, started

ODD: list[Any] = [
    None, True, -1, 0, 2**70, 1e308, float("inf"), float("nan"), "x", "", "2024-01-01", [], {}, [1],
    {"a": 1}, "\U0001f600", "\x1b[31m",
]  # fmt: skip

POLICIES = [
    {"budget": 3, "kind": "optimal", "over_sequential_nats": 2.0, "se_nats": 0.1},
    {"budget": 9, "kind": "uniform", "over_sequential_nats": 1, "se_nats": None},
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Run:
    run = new_run(tmp_path_factory.mktemp("sound"), training={"steps": 100, "warmup": 0})
    add_attempt(run, started(0.0, 0.0), began=0.0)
    saved = {"event": "saved", "n": 5, "time": 3.0, "step": 7, "digest": "a", "seconds": 1.0}
    progress = {
        "attempt": 1, "step": 12, "total_steps": 100, "state": "training", "time": time.time(),
        "beat": 1, "beat_s": 1e6, "tail": [saved | {"bytes": 3, "interval": 3.0}],
        "train_nelbo_bpd": 0.15, "saved_step": 3, "saved_time": 2.0, "save_error": None,
        "steps_per_s": 2.0, "eta_s": 3.0,
    }  # fmt: skip
    records = {
        run.progress(1): progress,
        run.policies(1, 7): {"L": [0.1, 0.2], "policies": POLICIES},
        run.submission: {"address": "http://127.0.0.1:1", "submission_id": "x", "after": 0},
    }
    for name, record in records.items():
        run.store.write(name, json.dumps(record).encode())
    return run


def changed(value: Any, chance: random.Random) -> Any:
    """A JSON value in which one value, somewhere, is replaced by an odd one or removed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        rest = {k: v for k, v in value.items() if k != key}
        return rest if chance.random() < 0.2 else rest | {key: changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [*value[:place], changed(value[place], chance), *value[place + 1 :]]
    return chance.choice(ODD)


def views(run: Run) -> None:
    pages.run_page(one := collect(run))
    pages.comparison_page([one, one])
    pages.overview_page(overview(run.store), "x", pages.Served("/plotly.js"))
    for command in (["runs"], ["status", run.name], ["report", run.name]):
        for form in ([], ["--json"]):
            done = CliRunner().invoke(app, [*command, "--store", run.store.uri, *form])
            assert done.exit_code == 0, (command, done.output, done.exception)


@pytest.mark.parametrize("seed", range(max(EXAMPLES // 5, 5)))
def test_every_view_of_a_run_with_strange_records_shows_something(seed, sound, tmp_path):
    chance = random.Random(seed)
    views(sound)
    for number in range(8):
        folder = tmp_path / str(number)
        shutil.copytree(sound.store.uri, folder)
        files = sorted(folder.rglob("*.json*"))
        assert len(files) >= 5
        path = chance.choice(files)
        lines = path.read_text().splitlines()
        place = chance.randrange(len(lines))
        lines[place] = json.dumps(changed(json.loads(lines[place]), chance))
        path.write_text("\n".join(lines) + "\n")
        try:
            views(Run(Store(str(folder)), sound.name))
        except BaseException:
            print(path, Path(path).read_text()[:2000])
            raise

"""The report of an invented past, and the command that prints it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ardm.analysis.report import report
from ardm.cli.main import app
from ardm.errors import NotFound
from ardm.events import kinds
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.runner.invented import (
    add_attempt,
    ended,
    first_step,
    new_run,
    restored,
    saved,
    stalled,
    started,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two workers, preempted after 40 of 100 steps, killed after 60, ended after 100."""
    run = new_run(
        tmp_path, training={"steps": 100}, scaling={"workers": 2, "price_per_worker_hour": 0.5}
    )
    add_attempt(
        run, started(0.0, 0.0), first_step(1.0, 1, 1.0, 0.0), saved(20.0, 20, 1.0),
        stalled(21.0, 0.5), ended(41.0, 40, "preempted"), began=0.0, workers=2,
    )  # fmt: skip
    add_attempt(
        run, restored(50.0, 40, 0.0), first_step(51.0, 41, 1.0, 0.0), saved(60.0, 50, 3.0),
        began=50.0, workers=2, progress=(70.0, 60),
    )  # fmt: skip
    add_attempt(
        run, restored(90.0, 50, 0.0), first_step(91.0, 51, 1.0, 0.0),
        kinds.SaveFailed(time=95.0, step=55, reason="no"), saved(120.0, 80, 2.0),
        stalled(121.0, 0.1), ended(141.0, 100, "completed"), began=90.0, workers=2,
    )  # fmt: skip
    return run


def test_interruptions_and_saves_are_counted(run: Run) -> None:
    found = report(run, now=1000.0)
    assert (found["steps"], found["total_steps"]) == (100, 100)
    assert found["interruptions"] == {
        "count": 2,
        "noticed": 1,
        "steps_lost": [0, 10],
        "mean_steps_lost": 5.0,
        "mtbf_s": round((7200 + 41 + 20 + 51) / 3, 1),
    }
    assert found["saves"] == {
        "count": 3,
        "failed": 1,
        "median_s": 2.0,
        "median_stall_s": 0.3,
        "bytes": 1000,
        "interval_s": 30.0,
        "total_bytes": 3000,
    }


def test_what_was_alive_is_paid_for_and_what_was_productive_compared(run: Run) -> None:
    cost = report(run, on_demand_price=2.0, now=1000.0)["cost"]
    assert cost["total"] == pytest.approx(2 * (41 + 20 + 51) / 3600 * 0.5, abs=1e-4)
    # 10 steps of 1 s were done twice; 0.6 s went into stalls.
    assert cost["on_demand_total"] == pytest.approx(2 * (112 - 10 - 0.6) / 3600 * 2.0, abs=1e-3)


def test_attempts_add_up_to_the_whole(run: Run) -> None:
    found = report(run, now=1000.0)
    for cause, seconds in found["goodput"]["badput"].items():
        assert sum(a["badput"][cause] for a in found["attempts"]) == pytest.approx(seconds, abs=0.2)
    assert found["goodput"]["badput"]["down"] == 9.0 + 20.0
    assert found["goodput"]["wall_s"] == 141.0


def test_without_a_price_nothing_is_said_of_cost(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert report(run)["cost"] is None
    add_attempt(run, started(0.0, 0.0), began=0.0)
    cost = report(run, on_demand_price=1.0, now=3600.0)["cost"]
    assert cost["total"] is None


def test_an_attempt_that_fell_silent_is_not_accounted_for_until_now(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    add_attempt(run, started(0.0, 0.0), began=0.0, progress=(30.0, 0))
    assert report(run, now=31.0)["goodput"]["wall_s"] == 31.0
    assert report(run, now=9e6)["goodput"]["wall_s"] == 30.0


def test_an_unknown_run_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        report(Run(Store(str(tmp_path)), "nobody"))


def test_the_command_prints_a_table_and_json(run: Run) -> None:
    store = ["--store", run.store.uri]
    shown = CliRunner().invoke(app, ["report", run.name, *store, "--on-demand-price", "2"])
    assert shown.exit_code == 0
    for text in ("goodput 71.9%", "recomputed", "2, 1 of them with notice", "[0, 10]", "on demand"):
        assert text in shown.stdout
    told = CliRunner().invoke(app, ["report", run.name, *store, "--json"])
    assert json.loads(told.stdout)["goodput"]["fraction"] == 0.7191

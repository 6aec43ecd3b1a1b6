"""`ardm report` on invented runs; `ardm compare` is tested in `test_comparing.py`."""

from pathlib import Path

import pytest

from ardm.events import kinds
from tests.cli.conftest import Here
from tests.runner.invented import add_attempt, ended, first_step, new_run, restored, saved, started

STEPS = {"steps": 100, "warmup": 0}


@pytest.fixture
def ardm(tmp_path: Path) -> Here:
    """Two workers at a price: preempted after 40 of 100 steps, killed after 60, then at the end."""
    run = new_run(tmp_path, training=STEPS, scaling={"workers": 2, "price_per_worker_hour": 0.5})
    add_attempt(
        run, started(0.0, 0.0), first_step(1.0, 1, 1.0, 0.0), saved(20.0, 20, 1.0),
        ended(41.0, 40, "preempted"), began=0.0, workers=2,
    )  # fmt: skip
    add_attempt(
        run, restored(50.0, 40, 0.0), first_step(51.0, 41, 1.0, 0.0), saved(60.0, 50, 3.0),
        began=50.0, workers=2, progress=(70.0, 60),
    )  # fmt: skip
    add_attempt(
        run, restored(90.0, 50, 0.0), first_step(91.0, 51, 1.0, 0.0),
        kinds.SaveFailed(time=95.0, step=55, reason="no"),
        kinds.SkippedStep(time=96.0, step=56, reason="nan"),
        ended(141.0, 100, "completed"), began=90.0, workers=2,
    )  # fmt: skip
    return Here(str(tmp_path))


def row(text: str, name: str) -> str:
    """What stands behind the name of a row of a table."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(name)]
    return " ".join(line.split()).removeprefix(name).strip()


def test_the_table_accounts_for_every_second_of_the_run(ardm: Here) -> None:
    said, told = ardm("report", "invented").stdout, ardm.json("report", "invented")["goodput"]
    assert "invented  step 100 of 100" in said
    parts = {"productive": told["productive_s"]} | told["badput"]
    for name, seconds in parts.items():
        share = seconds / told["wall_s"]
        assert row(said, name.replace("_", " ")) == f"{seconds:.1f} {share:.1%}"
    assert row(said, "wall") == f"{told['wall_s']:.1f} goodput {told['fraction']:.1%}"
    assert sum(parts.values()) == pytest.approx(told["wall_s"], abs=0.1 * len(parts))


def test_what_went_wrong_has_rows_of_its_own(ardm: Here) -> None:
    said = ardm("report", "invented").stdout
    assert row(said, "interruptions") == "2, 1 of them with notice"
    assert row(said, "steps lost") == "10; by interruption: [0, 10]"
    assert row(said, "skipped") == "1 steps that were not finite"
    assert row(said, "failed saves") == "1"


def test_the_price_on_demand_is_told_if_it_is_asked_for(ardm: Here) -> None:
    said = ardm("report", "invented").stdout
    assert "worker-hours" in row(said, "cost")
    assert "on demand" not in said
    assert "worker-hours" in row(
        ardm("report", "invented", "--on-demand-price", "2").stdout, "on demand"
    )
    assert "--on-demand-price" in ardm("report", "--on-demand-price", "-1", code=2).output


def test_a_run_that_has_not_begun_is_no_failure(tmp_path: Path) -> None:
    new_run(tmp_path, training=STEPS)
    ardm = Here(str(tmp_path))
    said = ardm("report", "invented").stdout
    assert "step 0 of 100" in said
    assert "no attempt has begun" in said
    assert ardm.json("report", "invented")["goodput"]["wall_s"] == 0

"""The simulation against closed forms and against a plain loop, and the plan."""

import json
import math
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from typer.testing import CliRunner

from ardm.analysis import plan as planner
from ardm.analysis import simulation
from ardm.analysis.assumptions import Figures, Market
from ardm.analysis.simulation import Case, expected_goodput, simulate
from ardm.checkpoint.save_interval import daly
from ardm.cli.main import app
from ardm.errors import InputError
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

CALM = Case(
    steps=1000, step_s=2.0, save_every=50, stall_s=5.0, save_s=5.0, recovery_s=20.0,
    interruptions_per_s=0.0,
)  # fmt: skip
DALY = replace(CALM, interruptions_per_s=1 / 400)


def test_without_failures_only_saves_cost() -> None:
    (found,) = simulate([CALM], runs=2, seed=0)
    assert found.goodput == pytest.approx(1 - 5.0 / 105.0)
    assert found.goodput == pytest.approx(expected_goodput(CALM))
    assert (found.hours, found.interruptions) == (pytest.approx(20 * 105 / 3600), 0.0)


def test_saves_beside_the_training_cost_only_their_stall() -> None:
    case = replace(CALM, stall_s=0.5)
    (found,) = simulate([case], runs=2, seed=0)
    # There are 19 stalls; the end waits for the last save.
    assert found.hours * 3600 == pytest.approx(2000 + 19 * 0.5 + 5.0)


def test_dalys_time_to_completion() -> None:
    (found,) = simulate([DALY], runs=4000, seed=1)
    m, r, t, d = 400.0, 20.0, 100.0, 5.0
    expected = m * math.exp(r / m) * math.expm1((t + d) / m) * 2000.0 / t
    assert found.finished == 1.0
    assert abs(found.goodput - 2000.0 / expected) < 4 * found.goodput_se
    assert found.goodput_se / found.goodput < 0.005
    assert expected_goodput(DALY) == pytest.approx(2000.0 / expected)


@pytest.mark.parametrize("noticed", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("stall", [0.0, 3.0])
@pytest.mark.parametrize("step", [0.1, 7.0])
def test_long_work_approaches_the_closed_form(noticed: float, stall: float, step: float) -> None:
    case = Case(
        steps=10**7, step_s=step, save_every=math.ceil(60 / step), stall_s=stall, save_s=8.0,
        recovery_s=45.0, interruptions_per_s=1 / 300, noticed=noticed,
    )  # fmt: skip
    (found,) = simulate([case], runs=100, seed=2)
    expected = expected_goodput(case)
    assert expected is not None
    assert abs(found.goodput - expected) < 4.5 * found.goodput_se
    assert found.goodput_se < 0.002


def test_a_notice_saves_every_step_if_the_save_fits() -> None:
    noticed = replace(DALY, noticed=1.0)
    fits, slow = simulate([noticed, replace(noticed, notice_s=4.0)], runs=50, seed=3)
    (bare,) = simulate([DALY], runs=50, seed=3)
    assert fits.steps_lost == 0.0
    assert fits.goodput > bare.goodput
    assert slow == bare  # a notice that is too short for a save has no effect


def test_interruptions_come_as_often_as_they_should() -> None:
    (found,) = simulate([DALY], runs=2000, seed=4)
    assert found.interruptions == pytest.approx(found.hours * 3600 / 400, rel=0.03)


@settings(deadline=None)
@given(
    x=st.floats(0.0, 400.0), step=st.floats(0.2, 9.0), every=st.integers(1, 9),
    stall=st.floats(0.0, 6.0), behind=st.floats(0.0, 1.0), n=st.integers(1, 60),
)  # fmt: skip
def test_an_interruption_loses_what_a_plain_loop_loses(
    x: float, step: float, every: int, stall: float, behind: float, n: int
) -> None:
    case = replace(
        CALM, steps=n, step_s=step, save_every=every, stall_s=stall,
        save_s=stall + behind * step * every, interruptions_per_s=1.0,
    )  # fmt: skip
    done, saved_steps, finish, near = plain_loop(case, x)
    if near:
        return  # at the boundary between two steps, rounding decides
    groups = simulation.Groups([case], 1)
    groups.event(np.array([x]), np.array([1.0]))
    if x >= finish:
        assert (groups.done[0, 0], groups.clock[0, 0]) == (n, pytest.approx(finish))
        return
    assert groups.done[0, 0] == saved_steps
    assert groups.lost[0, 0] == done - saved_steps


def plain_loop(case: Case, until: float) -> tuple[int, int, float, bool]:
    """Steps done and saved at a time, the end of the work, and whether a boundary is near."""
    clock, done, commits, edges = 0.0, 0, [(0.0, 0)], []
    at = [(0.0, 0)]
    for number in range(1, case.steps + 1):
        clock += case.step_s
        at.append((clock, number))
        if number % case.save_every == 0 and number < case.steps:
            commits.append((clock + case.save_s, number))
            clock += case.stall_s
    finish = max(clock, commits[-1][0]) + case.save_s
    done = max(number for time, number in at if time <= until)
    kept = max(number for time, number in commits if time <= until)
    edges = [time for time, _ in at + commits] + [finish]
    near = any(abs(until - edge) < 1e-6 for edge in edges if edge)
    return done, kept, finish, near


def test_a_case_does_not_depend_on_those_beside_it() -> None:
    alone = simulate([DALY], runs=20, seed=5)[0]
    beside = simulate([CALM, replace(DALY, recovery_s=90.0), DALY], runs=20, seed=5)
    assert beside[2] == alone
    assert simulate([DALY], runs=20, seed=6)[0] != alone


def test_work_that_never_ends_is_cut_off_and_reported_as_unfinished() -> None:
    (found,) = simulate([replace(DALY, interruptions_per_s=1.0)], runs=2, seed=0)
    assert (found.goodput, found.finished, found.hours) == (0.0, 0.0, math.inf)
    assert expected_goodput(replace(DALY, interruptions_per_s=10.0)) == pytest.approx(0.0)


def test_the_auto_interval_is_as_good_as_any_on_the_grid() -> None:
    market = replace(Market(), noticed=0.0)
    found = planner.plan(Figures(), market, [0.02, 0.1], [10, 20, 40, 80, 160], [64], 100)
    for row in found["rows"]:
        best = row["cells"][row["best"]]
        assert row["auto"]["goodput"] >= best["goodput"] - 4 * best["goodput_se"]
        work = row["auto"]["interval_s"] - 0.5
        assert work == pytest.approx(daly(0.5, row["mtbf_s"]), abs=row["step_s"])


def test_a_step_on_several_workers_is_faster_but_has_an_overhead() -> None:
    assert planner.group_step_s(60.0, 1, 0.03) == 60.0
    assert planner.group_step_s(60.0, 64, 0.0) == 60.0 / 64
    assert planner.group_step_s(60.0, 64, 0.03) == pytest.approx(60.0 / 64 * 1.18)


def test_without_preemptions_spot_costs_its_share_of_the_price() -> None:
    market = Market(hours=100.0, overhead=0.0)
    (row,) = planner.plan(Figures(), market, [0.0], [600.0], [4], 2)["rows"]
    assert row["on_demand"] == {"hours": 25.0, "cost": 100.0}
    assert row["auto"]["cost"] == pytest.approx(35.0, rel=0.005)
    assert row["mtbf_s"] is None


def test_figures_are_read_from_an_event_log(tmp_path: Path) -> None:
    run = new_run(tmp_path, training={"steps": 7200})
    add_attempt(
        run, started(0.0, 0.0), first_step(4.0, 1, 4.0, 3.0), saved(20.0, 15, 1.5),
        stalled(21.0, 0.5), ended(104.5, 101, "preempted"), began=0.0, workers=2,
    )  # fmt: skip
    add_attempt(
        run, restored(114.5, 101, 1.0), first_step(120.5, 102, 3.0, 2.0),
        ended(140.5, 122, "completed"), began=112.5, workers=2,
    )  # fmt: skip
    found, hours, unknown = planner.measured(run, 0.0, Figures())
    # A step takes 1 s on two workers, so 2 s on one. The recovery is 117.5 - 104.5 plus 2 s of
    # compilation.
    assert found == Figures(step_s=2.0, stall_s=0.5, save_s=1.5, recovery_s=15.0)
    assert (hours, unknown) == (4.0, [])


def test_a_run_without_steps_has_no_figures(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with pytest.raises(InputError, match="two or more steps"):
        planner.measured(run, 0.0, Figures())


def test_the_command_prints_tables_and_json(tmp_path: Path) -> None:
    few = ["plan", "--rates", "0,0.1", "--workers", "8,16", "--intervals", "30", "--trials", "5"]
    result = CliRunner().invoke(app, [*few, "--json"])
    rows = json.loads(result.stdout)["rows"]
    assert [(row["rate"], row["workers"]) for row in rows] == [(0, 8), (0, 16), (0.1, 8), (0.1, 16)]
    shown = CliRunner().invoke(app, few)
    assert shown.exit_code == 0
    assert "goodput by seconds between saves" in shown.stdout
    assert f"{rows[3]['auto']['goodput']:.1%}" in shown.stdout


def test_the_command_reads_figures_from_a_run_and_reports_what_is_missing(tmp_path: Path) -> None:
    run = new_run(tmp_path, training={"steps": 3600})
    add_attempt(
        run, started(0.0, 0.0), first_step(1.0, 1, 1.0, 0.0), ended(10.0, 10, "completed"),
        began=0.0,
    )  # fmt: skip
    args = ["plan", "--run", run.name, "--store", run.store.uri, "--trials", "2", "--json"]
    result = CliRunner().invoke(app, args)
    found = json.loads(result.stdout)
    assert (found["figures"]["step_s"], found["market"]["hours"]) == (1.0, 1.0)
    assert "the stall of a save nor the duration of a save nor the recovery time" in result.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--rates", "a,b"], ["--rates", "-1"], ["--workers", "1.5"], ["--workers", "0"],
        ["--hours", "0"], ["--notice-fraction", "2"], ["--save-stall", "9"],
        ["--step-seconds", "-1"], ["--intervals", "inf"],
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_bad_input(wrong: list[str]) -> None:
    result = CliRunner().invoke(app, ["plan", *wrong])
    assert result.exit_code == 2
    assert wrong[0] in result.stderr

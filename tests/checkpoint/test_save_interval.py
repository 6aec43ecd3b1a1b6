"""The chosen interval: against Daly's published figures, against brute force, and in a saver."""

import json
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from ardm.checkpoint import save_interval
from ardm.checkpoint.checkpointer import Checkpointer
from ardm.checkpoint.save_interval import (
    Auto,
    Fixed,
    Interruptions,
    choose,
    daly,
    interval_of,
    young,
)
from ardm.errors import SpecError
from ardm.events import event_log, history, kinds
from ardm.events.event_log import EventLog
from ardm.job import spec
from ardm.job.config import CheckpointConfig
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

NEVER = Interruptions(0, 0.0)


@pytest.mark.parametrize(("mtbf", "optimum"), [(24 * 60, 117.0), (6 * 60, 57.0), (15, 9.1)])
def test_the_optima_that_daly_published(mtbf: float, optimum: float) -> None:
    # Minutes: figures 3, 4 and 5 of the paper, for a dump time of 5 minutes.
    assert daly(5.0, mtbf) == pytest.approx(optimum, rel=0.006)


@given(st.floats(0.01, 100.0), st.floats(3.0, 1e4))
def test_no_interval_on_a_fine_grid_beats_the_optimum(cost: float, per_cost: float) -> None:
    mtbf = cost * per_cost

    def seconds_per_work(work: float | np.ndarray) -> float | np.ndarray:
        return np.expm1((work + cost) / mtbf) / work

    grid = np.geomspace(cost / 100, 30 * mtbf, 3000)
    assert seconds_per_work(daly(cost, mtbf)) <= seconds_per_work(grid).min() * 1.001


def test_young_is_the_limit_of_rare_failures() -> None:
    assert daly(1.0, 1e8) == pytest.approx(young(1.0, 1e8), rel=1e-4)
    assert young(2.0, 100.0) == 20.0


def test_a_save_that_costs_more_than_two_lives_is_made_once_in_a_life() -> None:
    assert daly(21.0, 10.0) == 10.0


@given(st.floats(0.0, 50.0), st.floats(0.0, 2000.0), st.floats(1.0, 1e7))
def test_the_choice_stays_in_bounds_and_lets_a_save_end(
    stall: float, more: float, mtbf: float
) -> None:
    chosen = choose(stall, stall + more, mtbf)
    assert (
        max(save_interval.SHORTEST, stall + more)
        <= chosen
        <= max(save_interval.LONGEST, stall + more)
    )


def test_before_anything_is_seen_a_failure_comes_every_two_hours() -> None:
    assert NEVER.mtbf() == 7200.0
    assert NEVER.mtbf(more_s=7200.0) == 14400.0
    # The first failure halves the belief and no more; many outweigh it.
    assert Interruptions(1, 0.0).mtbf() == 3600.0
    assert Interruptions(99, 9900.0).mtbf() == pytest.approx(100.0, rel=0.75)


def test_interruptions_are_counted_in_the_events(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    add_attempt(run, started(0.0, 0.0), ended(100.0, 5, "preempted"), began=0.0, workers=4)
    add_attempt(run, restored(200.0, 5, 0.0), began=200.0, workers=2, progress=(260.0, 9))
    add_attempt(run, restored(300.0, 5, 0.0), ended(340.0, 9, "stopped"), began=300.0, workers=2)
    add_attempt(run, restored(400.0, 9, 0.0), began=400.0, workers=2, progress=(9000.0, 90))
    seen = save_interval.interruptions(history.records(run), workers=2)
    # 100 s of four workers expose as 200 s of two; the last attempt still lives.
    assert seen == Interruptions(count=2, exposure_s=200.0 + 60.0 + 40.0)


def test_the_first_saves_come_early_until_one_has_told_its_cost() -> None:
    auto = Auto(NEVER, lambda: 0.0)
    assert auto.seconds() == save_interval.SHORTEST
    auto.saved(2.0)
    assert auto.seconds() == save_interval.SHORTEST
    auto.stalled(0.01)
    assert auto.seconds() == pytest.approx(daly(0.01, 7200.0) + 0.01)


def test_without_a_stall_the_duration_stands_in() -> None:
    auto = Auto(NEVER, lambda: 0.0, durations=[1.0, 2.0, 3.0])
    assert auto.seconds() == pytest.approx(daly(2.0, 7200.0) + 2.0)


def test_costly_saves_come_seldom_and_failures_bring_them_closer() -> None:
    def chosen(stall: float, failures: int) -> float:
        past = Interruptions(failures, 3600.0)
        return Auto(past, lambda: 0.0, [5.0], [stall]).seconds()

    assert chosen(0.1, 0) < chosen(1.0, 0)
    assert chosen(1.0, 20) < chosen(1.0, 2) < chosen(1.0, 0)


def test_one_slow_save_does_not_sway_the_choice() -> None:
    calm, odd = (Auto(NEVER, lambda: 0.0, [1.0] * 9, [0.2] * 9) for _ in range(2))
    odd.saved(300.0)
    odd.stalled(1.0)
    assert odd.seconds() == calm.seconds()


def test_a_quiet_attempt_lengthens_the_interval() -> None:
    now = 0.0
    auto = Auto(NEVER, lambda: now, [1.0], [0.2])
    early = auto.seconds()
    now = 24 * 3600.0
    assert auto.seconds() > early


def test_an_attempt_goes_by_what_earlier_ones_measured(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    add_attempt(
        run, started(0.0, 0.0), first_step(1.0, 1, 1.0, 0.0), saved(10.0, 9, 2.0),
        stalled(11.0, 0.5), ended(3600.0, 999, "preempted"), began=0.0, workers=2,
    )  # fmt: skip
    add_attempt(run, restored(4000.0, 999, 0.0), began=4000.0, workers=2)
    chosen = interval_of(run, 2, CheckpointConfig(interval="auto"), lambda: 0.0)
    assert chosen.seconds() == pytest.approx(choose(0.5, 2.0, (7200.0 + 3600.0) / 2))
    assert interval_of(run, 2, CheckpointConfig(interval=7.0), lambda: 0.0) == Fixed(7.0)


def test_a_saver_measures_its_saves_and_notes_the_interval(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    add_attempt(run, began=0.0)
    now, events = 0.0, EventLog(run, 1)
    saver = Checkpointer(run, 1, CheckpointConfig(interval="auto"), events, 0, clock=lambda: now)
    state = {"w": np.arange(4.0)}
    for step in range(1, 6):
        saver.offer(step, state, 1.0)
    assert not saver.saving  # too early
    now = save_interval.SHORTEST
    saver.offer(6, state, 1.0)
    saver.wait(30.0)
    saver.offer(7, state, 1.25)
    events.flush()
    found = event_log.read(run, 1)
    save, stall = kinds.last(found, kinds.Saved), kinds.last(found, kinds.Stalled)
    assert save is not None
    assert stall is not None
    assert (save.step, save.interval) == (6, save_interval.SHORTEST)
    assert stall.seconds == 0.25


def test_the_job_file_takes_seconds_or_auto() -> None:
    text = "job: a\ncheckpoint: {interval: %s}"
    for given_, read in (("auto", "auto"), ("7", 7.0), ("0.5", 0.5)):
        found = spec.parse(text % given_, "a.yaml")
        assert found.checkpoint.interval == read
        assert spec.parse(found.to_yaml(), "b.yaml") == found
        assert json.loads(found.model_dump_json())["checkpoint"]["interval"] == read


@pytest.mark.parametrize("wrong", ["auot", "-1", ".inf", "'30'", "true", "null", "[7]"])
def test_another_interval_is_one_fault_that_says_what_is_expected(wrong: str) -> None:
    expected = "expected seconds \\(0 or more, at most 1e9\\) or 'auto'"
    with pytest.raises(SpecError, match=expected) as caught:
        spec.parse(f"job: a\ncheckpoint: {{interval: {wrong}}}", "a.yaml")
    assert len(caught.value.faults) == 1
    assert ("did you mean 'auto'?" in str(caught.value)) == (wrong == "auot")

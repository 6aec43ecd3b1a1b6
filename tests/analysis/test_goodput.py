"""Every second of a run belongs to one cause; the seconds of an invented past are found again."""

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ardm.analysis import goodput
from ardm.analysis.goodput import AttemptRecord, Evaluation
from ardm.events import kinds
from ardm.events.events import Outcome
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

ENDS = [Outcome.PREEMPTED, Outcome.WORKER_LOST, Outcome.STOPPED]


def test_an_orderly_attempt_is_split_into_its_causes(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    add_attempt(
        run,
        started(1012.0, 1.0),
        # 5 s, of which 3 compiling and 1 a step like the others: 1 of start-up beside.
        first_step(1017.0, 1, 5.0, 3.0),
        saved(1030.0, 13, 2.0),
        stalled(1030.5, 0.5),
        kinds.Evaluated(time=1040.5, step=19, seconds=5.0),
        kinds.FinalSave(time=1047.5, step=20, seconds=2.0),
        ended(1043.5, 20, "completed"),
        began=1010.0,
        claimed=1011.0,
        submission="s-1",
        submitted=1000.0,
    )
    found = goodput.goodput(goodput.records(run), now=9e9)
    # 19 steps of 1 s after the first, 5 s of evaluation and 2.5 s for saves: 1017 + 26.5.
    assert found == {
        "fraction": round(25.0 / 43.5, 4),
        "badput": {
            "queued": 10.0,
            "start_up": 2.0,
            "restore": 1.0,
            "compile": 3.0,
            "recomputed": 0.0,
            "save_stalls": 2.5,
            "down": 0.0,
        },
        "steps_lost": 0,
        "productive_s": 25.0,
        "wall_s": 43.5,
        "idle_s": 0.0,
    }


def test_a_kill_costs_the_steps_since_the_save_and_the_time_until_the_next_attempt(
    tmp_path: Path,
) -> None:
    run = new_run(tmp_path)
    add_attempt(
        run,
        started(0.0, 0.0),
        first_step(1.0, 1, 1.0, 0.0),
        kinds.Evaluated(time=35.0, step=30, seconds=5.0),
        began=0.0,
        progress=(45.0, 40),
    )
    add_attempt(
        run, restored(60.0, 25, 0.0), first_step(61.0, 26, 1.0, 0.0), began=60.0,
        progress=(70.0, 35),
    )  # fmt: skip
    records = goodput.records(run)
    found = goodput.goodput(records, now=70.0)
    assert records[0].outcome == "worker_lost"
    assert records[0].steps_lost == found["steps_lost"] == 15
    assert found["badput"]["recomputed"] == 20.0  # 15 steps, and the evaluation after step 30
    assert found["badput"]["down"] == 15.0
    assert found["wall_s"] == 70.0


def test_a_save_tells_of_its_step_where_the_attempt_was_killed_before_it_could(
    tmp_path: Path,
) -> None:
    run = new_run(tmp_path)
    add_attempt(run, started(1.0, 0.1), saved(9.0, 30, 1.0), began=0.0, progress=(8.0, 20))
    add_attempt(run, restored(21.0, 30, 0.1), ended(30.0, 40, "stopped"), began=20.0)
    first, second = goodput.records(run)
    assert (first.last_step, first.steps_lost, first.last_seen, first.silent) == (30, 0, 9.0, True)
    assert not second.silent


def test_an_attempt_that_died_before_its_first_step_was_all_start_up(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    add_attempt(run, started(0.0, 0.0), first_step(1.0, 1, 1.0, 0.0), began=0.0, progress=(9.0, 9))
    add_attempt(run, began=20.0, progress=(26.0, 0))
    add_attempt(
        run, restored(30.0, 5, 0.0), first_step(31.0, 6, 1.0, 0.0), began=30.0, progress=(34.0, 9)
    )
    records = goodput.records(run)
    badput = goodput.goodput(records, now=34.0)["badput"]
    assert (badput["start_up"], badput["down"]) == (6.0, 15.0)
    # The steps that the first one lost show only in what the third began with.
    assert [record.steps_lost for record in records] == [4, 0, 0]


def test_time_between_a_stop_and_the_next_submission_is_nobodys(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    add_attempt(
        run, started(0.0, 0.0), first_step(1.0, 1, 1.0, 0.0), ended(10.0, 10, "stopped"),
        began=0.0, submission="s-1", submitted=0.0,
    )  # fmt: skip
    add_attempt(
        run, restored(1005.0, 10, 0.0), first_step(1006.0, 11, 1.0, 0.0),
        ended(1010.0, 15, "completed"), began=1005.0, submission="s-2", submitted=1000.0,
    )  # fmt: skip
    found = goodput.goodput(goodput.records(run), now=9e9)
    assert (found["idle_s"], found["badput"]["queued"], found["badput"]["down"]) == (990.0, 5.0, 0)
    assert found["wall_s"] == 20.0


def test_a_run_without_attempts_has_no_goodput(tmp_path: Path) -> None:
    found = goodput.goodput(goodput.records(new_run(tmp_path)), now=0.0)
    assert found["fraction"] is None
    assert set(found["badput"]) == set(goodput.CAUSES)


seconds = st.floats(0.0, 500.0)


@st.composite
def pasts(draw: st.DrawFn) -> list[AttemptRecord]:
    """Attempts with whatever figures, consistent or not, one beginning after the other."""
    found: list[AttemptRecord] = []
    clock = 1000.0
    for number in range(1, draw(st.integers(1, 5)) + 1):
        clock += draw(seconds)
        record = AttemptRecord(
            attempt=number, outcome=draw(st.sampled_from(ENDS)),
            reason="", workers=draw(st.integers(1, 8)), first_step=draw(st.integers(0, 50)),
            last_step=draw(st.integers(0, 90)), steps_lost=draw(st.integers(0, 60)),
            started=clock, ended=clock + draw(seconds), began=clock,
            submission=draw(st.sampled_from(["s-1", "s-2"])), submitted=clock - draw(seconds),
            trains_from=draw(st.none() | st.just(clock + draw(seconds))),
            first_step_s=draw(seconds), compile_s=draw(seconds), restore_s=draw(seconds),
            evaluations=[Evaluation(10, draw(seconds))], stalls=[draw(seconds)],
            final_save_s=draw(seconds),
        )  # fmt: skip
        record.last_seen = record.ended or clock
        found.append(record)
    return found


@given(pasts())
def test_no_second_is_negative_and_an_attempt_has_as_many_as_it_lived(
    found: list[AttemptRecord],
) -> None:
    told = goodput.accounts(found, now=1e6)
    for account in told:
        inside = sum(account.badput.values()) - account.badput["queued"] - account.badput["down"]
        assert min(account.badput.values()) >= 0
        assert account.productive_s + inside == pytest.approx(account.alive_s, abs=1e-6)
    whole = goodput.goodput(found, now=1e6)
    first = found[0].began - told[0].badput["queued"]
    assert whole["wall_s"] + whole["idle_s"] == pytest.approx(found[-1].ended - first, abs=1.0)


def test_clocks_that_differ_give_no_negative_and_no_absurd_spans(tmp_path: Path) -> None:
    """The second machine's clock is a day behind, the third's is right again."""
    run, day = new_run(tmp_path), 86400.0
    add_attempt(
        run, started(10 * day, 0.0), first_step(10 * day + 1, 1, 1.0, 0.0),
        ended(10 * day + 100, 100, "preempted"), began=10 * day, submission="s", submitted=10 * day,
    )  # fmt: skip
    add_attempt(
        run, restored(9 * day + 5, 100, 5.0), first_step(9 * day + 6, 101, 1.0, 0.0),
        ended(9 * day + 105, 200, "preempted"), began=9 * day, submission="s", submitted=10 * day,
    )  # fmt: skip
    add_attempt(
        run, restored(10 * day + 215, 200, 5.0), first_step(10 * day + 216, 201, 1.0, 0.0),
        ended(10 * day + 315, 300, "completed"), began=10 * day + 210, submission="s",
        submitted=10 * day,
    )  # fmt: skip
    records = goodput.records(run)
    told = goodput.accounts(records, now=11 * day)
    assert [account.alive_s for account in told] == [100.0, 105.0, 105.0]
    whole = goodput.goodput(records, now=11 * day)
    assert whole["wall_s"] == 315.0
    assert min(whole["badput"].values()) >= 0


@pytest.mark.parametrize("torn", [1, 2, 3])
def test_an_attempt_of_which_nothing_can_be_read_takes_no_time(tmp_path: Path, torn: int) -> None:
    run = new_run(tmp_path)
    for number in (1, 2, 3):
        began, step = 1e9 + 100 * number, 50 * number
        if number == torn:
            run.store.create(run.claim(number), b"")
        else:
            add_attempt(
                run, restored(began, step, 0.0), first_step(began + 1, step + 1, 1.0, 0.0),
                ended(began + 50, step + 50, "preempted"), began=began,
            )  # fmt: skip
    told = goodput.goodput(goodput.records(run), now=1e9 + 400)
    assert told["wall_s"] <= 400.0
    assert told["productive_s"] == pytest.approx(100.0, abs=1.0)


def test_a_reader_whose_clock_is_behind_sees_what_an_attempt_has_done(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    add_attempt(
        run, started(1000.0, 0.0), first_step(1001.0, 1, 1.0, 0.0), began=1000.0,
        progress=(1100.0, 100),
    )  # fmt: skip
    assert goodput.goodput(goodput.records(run), now=10.0)["wall_s"] == 100.0

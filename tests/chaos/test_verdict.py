"""Whether what was lost is within the promise, for invented runs."""

from dataclasses import replace

import pytest

from ardm.analysis.goodput import AttemptRecord, Save
from ardm.chaos.verdict import Facts, Injected, allowed, fastest_step, judge
from ardm.events import kinds
from ardm.events.events import Outcome

# One step per second, a save of 2 s every 10 s: 10 + 2 seconds and one step may be lost.
BOUND = 13


def attempt(number: int, first: int, last: int, outcome: str | None, lost: int = 0):
    """An attempt that lived 100 s and began 10 s after the end of the one before."""
    began = 110.0 * number
    return AttemptRecord(
        attempt=number,
        outcome=outcome and Outcome(outcome),
        reason="",
        workers=1,
        first_step=first,
        last_step=last,
        steps_lost=lost,
        started=began,
        ended=began + 100,
        began=began,
        trains_from=began + 5,
        first_step_s=2.0,
        saves=[Save(first + 10, 2.0, 1000, 10.0)],
    )


def fault(kind: str, number: int, at: float = 50.0, lasts: float = 0.0, extra: int = 0):
    """A fault so many seconds after the beginning of an attempt."""
    time = 110.0 * number + at
    return Injected(kind, time, time + lasts, number, 0, "", extra)


def facts(*faults: Injected, lost: int = 0, struck: str = "worker_lost", **more):
    """A run of 200 steps in two attempts, the first of which a fault has ended."""
    attempts = [attempt(1, 0, 100, struck, lost), attempt(2, 100 - lost, 200, "completed")]
    known = {
        "attempts": attempts,
        "faults": faults,
        "total_steps": 200,
        "interval_s": 10.0,
        "step_s": 1.0,
        "digest": "d" * 64,
        "reference": "d" * 64,
        "now": 400.0,
    }
    return Facts(**(known | more))


def test_a_loss_within_the_promise_breaks_nothing():
    told = judge(facts(fault("worker", 1), lost=BOUND))
    assert told["broken"] == []
    assert told["equal"]
    assert (told["recoveries"], told["steps_lost"], told["most_lost"]) == (1, BOUND, BOUND)
    kind = {"faults": 1, "recoveries": 1, "steps_lost": BOUND, "most_lost": BOUND}
    # The fault came 50 s after the beginning; the next attempt's first step ended at 110 + 7.
    assert told["kinds"] == {"worker": kind | {"recovery_s": 67.0}}


def test_one_step_more_breaks_it():
    (line,) = judge(facts(fault("node", 1), lost=BOUND + 1))["broken"]
    assert "attempt 1 (node at step 0) lost 14 steps; at most 13 are promised" in line


def test_what_a_killed_attempt_had_no_time_to_tell_counts_as_lost():
    told = facts(fault("node", 1), lost=BOUND - 4)
    first, second = told.attempts
    seen = replace(first, silent=True, last_seen=fault("node", 1).time - 3.5)
    judged = judge(replace(told, attempts=[seen, second]))
    assert (judged["steps_lost"], judged["broken"]) == (BOUND, [])
    seen.last_seen -= 1.0
    judged = judge(replace(told, attempts=[seen, second]))
    assert judged["most_lost"] == BOUND + 1
    assert len(judged["broken"]) == 1
    # One that ended in order has told all.
    seen.silent = False
    assert judge(replace(told, attempts=[seen, second]))["steps_lost"] == BOUND - 4


def test_a_loss_that_no_fault_explains_counts_as_well():
    told = judge(facts(lost=BOUND + 1))
    assert len(told["broken"]) == 1
    assert told["unexplained"] == [1]


def test_a_drain_loses_nothing():
    assert judge(facts(fault("drain", 1, lasts=25), struck="preempted"))["broken"] == []
    (line,) = judge(facts(fault("drain", 1, lasts=25), lost=1))["broken"]
    assert "a drain loses none" in line


def test_a_drain_during_an_outage_may_lose_what_a_kill_may():
    outage = fault("storage", 1, at=40, lasts=20)
    assert judge(facts(outage, fault("drain", 1, lasts=25), lost=BOUND))["broken"] == []
    before = fault("storage", 1, at=10, lasts=20)
    assert judge(facts(before, fault("drain", 1, lasts=25), lost=1))["broken"]


def test_while_the_store_is_down_its_seconds_are_added():
    outage = fault("storage", 1, at=20, lasts=30)
    # And once more the interval, by which a save that failed may be late.
    bound = BOUND + 30 + 10
    assert judge(facts(outage, fault("worker", 1), lost=bound))["broken"] == []
    assert judge(facts(outage, fault("worker", 1), lost=bound + 1))["broken"]


@pytest.mark.parametrize("kind", ["route", "slow", "full"])
def test_what_keeps_saves_from_succeeding_adds_its_seconds(kind):
    trouble = fault(kind, 1, at=20, lasts=30)
    bound = BOUND + 30 + 10
    assert judge(facts(trouble, fault("worker", 1), lost=bound))["broken"] == []
    assert judge(facts(trouble, fault("worker", 1), lost=bound + 1))["broken"]
    # It ends no attempt by itself, so that an end beside it has another cause.
    assert judge(facts(trouble, fault("worker", 1), lost=3))["kinds"][kind]["recoveries"] == 0


def test_a_torn_file_costs_what_the_kill_beside_it_costs():
    assert judge(facts(fault("torn", 1), lost=BOUND))["broken"] == []
    assert judge(facts(fault("torn", 1), lost=BOUND + 1))["broken"]


def test_a_signal_to_the_driver_loses_nothing_and_one_to_a_worker_what_a_kill_does():
    told = replace(fault("signals", 1), saves=True)
    assert judge(facts(told, struck="stopped"))["broken"] == []
    (line,) = judge(facts(told, struck="stopped", lost=1))["broken"]
    assert "a signal to the driver loses none" in line
    assert judge(facts(fault("signals", 1), lost=BOUND))["broken"] == []


def test_the_moments_of_a_stepped_clock_are_not_compared():
    known = facts(fault("clock", 1, at=10, lasts=20), fault("worker", 1, at=50), lost=3)
    first, second = known.attempts
    seen = replace(first, silent=True, last_seen=first.began + 50 - 3600)
    assert judge(replace(known, attempts=[seen, second]))["broken"] == []
    bare = replace(known, attempts=[seen, second], faults=known.faults[1:])
    assert judge(bare)["most_lost"] > 3600


def test_an_outage_in_another_attempt_adds_nothing():
    outage = fault("storage", 2, at=20, lasts=30)
    told = facts(outage, fault("worker", 1), lost=BOUND + 1)
    assert allowed(told, told.attempts[0]) == BOUND
    assert judge(told)["broken"]


def test_a_damaged_checkpoint_adds_the_steps_to_the_one_before():
    assert judge(facts(fault("damage", 1, extra=9), lost=BOUND + 9))["broken"] == []
    assert judge(facts(fault("damage", 1, extra=9), lost=BOUND + 10))["broken"]


def test_a_run_that_is_not_completed_is_told():
    lost = facts(fault("worker", 1))
    halfway = [lost.attempts[0], attempt(2, 100, 150, None)]
    (line,) = judge(replace(lost, attempts=halfway))["broken"]
    assert line == "the run was not completed: no end at step 150 of 200"
    (line,) = judge(replace(lost, attempts=[]))["broken"]
    assert "no attempt" in line


@pytest.mark.parametrize("digest", ["e" * 64, None])
def test_another_digest_is_told(digest):
    told = judge(facts(fault("worker", 1), digest=digest))
    assert not told["equal"]
    (line,) = told["broken"]
    assert "the digest differs" in line


def test_a_newest_checkpoint_that_went_is_told():
    assert judge(facts(went_back=["step 9 was removed"]))["broken"] == ["step 9 was removed"]


def test_the_last_fault_of_an_attempt_is_the_one_that_cost():
    told = judge(facts(fault("freeze", 1, at=20), fault("worker", 1), lost=3))
    assert told["kinds"]["freeze"]["steps_lost"] == 0
    assert told["kinds"]["worker"]["steps_lost"] == 3


def test_fastest_step_is_taken_from_saves_of_one_attempt():
    def saved(step, begin, seconds):
        return kinds.Saved(step=step, time=begin + seconds, seconds=seconds)

    one = [
        saved(10, 0.0, 3.0),
        kinds.Stalled(seconds=1.0),
        saved(20, 5.0, 1.0),
        saved(40, 25.0, 1.0),
    ]
    other = [saved(50, 26.0, 1.0)]
    assert fastest_step([one, other]) == 0.5
    assert fastest_step([other]) is None

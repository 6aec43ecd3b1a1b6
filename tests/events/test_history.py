import json
from dataclasses import asdict

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ardm.analysis import goodput
from ardm.events import history, kinds
from ardm.events import summaries as summary_module
from ardm.events.curve import POINTS, Curve
from ardm.events.event_log import EventLog
from ardm.events.summaries import Summarizer
from ardm.store import claims


def trained(step, bpd):
    return kinds.Trained(step=step, nelbo_bpd=bpd)


def evaluated(step, bpd):
    return kinds.Evaluated(step=step, nelbo_bpd=bpd, se_bpd=0.01)


def test_what_was_done_again_replaces_what_it_was_done_before():
    curve = Curve()
    for event in [
        kinds.Started(step=0),
        trained(10, 0.5), trained(20, 0.4), evaluated(20, 0.45), trained(30, 0.3),
        kinds.Restored(step=15),
        trained(25, 0.35), kinds.Saved(step=25),
    ]:  # fmt: skip
        curve.add(event)
    assert curve.train == {10: 0.5, 25: 0.35}
    assert curve.test == {}


def test_a_rewind_keeps_the_step_itself():
    curve = Curve({5: 1.0, 6: 2.0}, {5: (1.0, 0.1), 6: (2.0, 0.1)})
    curve.rewind(5)
    assert (curve.train, curve.test) == ({5: 1.0}, {5: (1.0, 0.1)})


def test_the_curves_run_through_all_attempts(local_run):
    for number, events in [(1, [trained(10, 0.5), evaluated(10, 0.6)]), (2, [trained(20, 0.4)])]:
        assert claims.claim(local_run, {}) == number
        event_log = EventLog(local_run, number)
        for event in events:
            event_log.add(event)
        event_log.flush()
    found = history.read(local_run).curve
    assert found.train == {10: 0.5, 20: 0.4}
    assert found.test == {10: (0.6, 0.01)}


def past(run, attempts=12):
    """Attempts that were killed, preempted or are alive, with all kinds of events."""
    for number in range(1, attempts + 1):
        claim = {"token": f"t{number}", "time": 1000.0 * number, "submission": "s", "workers": 2}
        assert claims.claim(run, claim) == number
        clock = iter(range(1000 * number, 10**9))
        summary = Summarizer(run, number, claim)
        event_log = EventLog(
            run, number, clock=lambda clock=clock: next(clock), listener=summary.add
        )
        event_log.add(kinds.Restored(step=10 * number - 10, seconds=1.0))
        event_log.add(kinds.FirstStep(step=10 * number - 9, seconds=2.0, compile_s=1.0))
        event_log.add(kinds.LearningRate(step=10 * number - 10, old=0.1, new=0.2))
        event_log.add(kinds.Evaluated(step=10 * number, nelbo_bpd=1.0, se_bpd=0.1, of_later="kept"))
        event_log.add(kinds.WorkerFailed(rank=1, reason="boom"))
        for i in range(1, 8):
            step = 10 * number - 10
            event_log.add(kinds.Trained(step=step + 2 * i, nelbo_bpd=1.0 / number))
            event_log.add(kinds.Saved(step=step + i, seconds=2.0, bytes=5, interval=30.0))
            if i % 3 == 0:
                event_log.flush()
                summary.write()
        if number % 3 == 0:
            event_log.add(kinds.Ended(outcome="preempted", step=10 * number, reason="spot"))
            event_log.flush()
        progress = {
            "beat": 3,
            "beat_s": 20.0,
            "step": 10 * number + 1,
            "time": 1000.0 * number + 90,
        }
        progress |= event_log.for_progress() | {"attempt": number}
        run.store.write(run.progress(number), json.dumps(progress).encode())


def seen(run):
    found = history.read(run)
    return [asdict(record) for record in found.records], found.curve


def test_summaries_and_the_roll_up_are_caches_and_change_nothing(local_run):
    past(local_run)
    with_summaries = seen(local_run)
    history.read(local_run).write_roll_up(local_run)
    assert 0 < summary_module.read_roll_up(local_run).upto < 12
    rolled_up = seen(local_run)
    local_run.store.remove_tree(f"{local_run.name}/history")
    from_events = seen(local_run)
    assert with_summaries == from_events
    assert rolled_up == from_events
    assert [r["saves_failed"] for r in from_events[0]] == [0] * 12
    assert [len(r["saves"]) for r in from_events[0]] == [7] * 12


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b'{"format": 2, "upto": 99}', b"null"])
def test_a_torn_summary_is_worked_out_again(local_run, damage):
    past(local_run)
    whole = seen(local_run)
    history.read(local_run).write_roll_up(local_run)
    for name in local_run.store.names(f"{local_run.name}/history"):
        local_run.store.write(f"{local_run.name}/history/{name}", damage)
    assert seen(local_run) == whole
    history.read(local_run).write_roll_up(local_run)
    assert summary_module.read_roll_up(local_run).upto > 0


def test_a_summary_of_the_version_before_is_read(local_run):
    """There an event was any object, and a jump of the learning rate one, too."""
    past(local_run, 2)
    path = local_run.summary(1)
    summary = json.loads(local_run.store.read(path))
    record = summary["record"]
    for event in (record["evaluated"], record["worker_failed"]):
        event.pop("n")
    assert record["evaluated"]["of_later"] == "kept"
    assert record["rate_change"] == {"step": 0, "old": 0.1, "new": 0.2}
    record["saves_failed"] = 77  # it is from here that this is known
    local_run.store.write(path, json.dumps(summary).encode())
    found = history.read(local_run).records[0]
    assert found.saves_failed == 77
    assert (found.evaluated.nelbo_bpd, found.worker_failed.reason) == (1.0, "boom")


def test_a_summary_of_an_earlier_attempt_of_that_number_does_not_count(local_run):
    past(local_run, 2)
    claim = b'{"token": "another", "time": 9000.0}'
    local_run.store.write(local_run.claim(2), claim)
    assert history.read(local_run).records[1].claim["token"] == "another"


def test_a_removed_claim_takes_its_record_out_of_the_history(local_run):
    past(local_run)
    history.read(local_run).write_roll_up(local_run)
    local_run.store.remove([local_run.claim(2)])
    assert [r.attempt for r in history.records(local_run)] == [1, *range(3, 13)]


def test_an_attempt_that_lives_yet_is_not_rolled_up(local_run):
    past(local_run, 3)
    history.read(local_run).write_roll_up(local_run)
    # Attempts 1 and 2 did not end in order: they may still have something to say.
    assert summary_module.read_roll_up(local_run).upto == 0


def test_a_torn_claim_is_made_up_for_by_the_events(local_run):
    number = claims.claim(local_run, {})
    local_run.store.write(local_run.claim(number), b"")
    event_log = EventLog(local_run, number, clock=lambda: 5000.0)
    event_log.add(kinds.Claimed(workers=4, submission="s", token="t"))
    event_log.flush()
    (record,) = history.records(local_run)
    assert (record.workers, record.submission, record.began) == (4, "s", 5000.0)


KEYS = (
    "event", "time", "step", "seconds", "outcome", "reason", "bytes", "interval", "nelbo_bpd",
    "se_bpd", "compile_s", "workers", "beat_s",
)  # fmt: skip
values = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.just("x")
fields, names = st.sampled_from(KEYS), st.sampled_from(sorted(kinds.KINDS))


@given(st.lists(st.tuples(names, st.dictionaries(fields, values))), st.dictionaries(fields, values))
def test_no_content_of_events_claims_or_progress_crashes_the_history(events, odd):
    summary = summary_module.begin(1, odd)
    for kind, fields_ in events:
        summary.add(kinds.of_json(fields_ | {"event": kind, "time": 1.0}))
    summary.record.take_progress(odd)
    again = summary_module.Summary.model_validate_json(summary.model_dump_json())
    assert again.record.saves == summary.record.saves
    for record in (summary.record, again.record):
        account = goodput.accounts([record], now=2.0)[0]
        assert min(account.alive_s, account.productive_s, *account.badput.values()) >= 0


def test_a_long_curve_is_thinned_and_keeps_its_shape():
    long = Curve()
    for step in range(1, 50_001):
        long.add(trained(step, 1.0 / step))
        if step % 10 == 0:
            long.add(evaluated(step, 2.0 / step))
    assert len(long.train) <= 2 * POINTS
    assert len(long.test) <= 2 * POINTS
    assert max(long.train) == max(long.test) == 50_000
    for step, value in long.train.items():
        assert 1.0 / step <= value <= 1.0 / max(step - 150, 1)

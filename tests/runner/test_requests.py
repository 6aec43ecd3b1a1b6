"""What a run costs in requests to the store, counted by a proxy in front of a real server."""

import logging
from collections import Counter

import pytest

from ardm.analysis.status import status
from ardm.chaos import long_past
from ardm.checkpoint.checkpointer import Checkpointer
from ardm.events import event_log, history, kinds
from ardm.events.event_log import EventLog
from ardm.events.summaries import Summarizer
from ardm.job.config import CheckpointConfig
from ardm.runner import control
from ardm.runner.heartbeat import Heartbeat
from ardm.store import claims
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests import counting
from tests.counting import class_a, class_b
from tests.runner.scene import Clock
from tests.runner.setting import opened, small_state

pytestmark = pytest.mark.slow


DELAY = 0.15
"""Seconds of an answer: more than it takes to send all requests of a round."""

NO_RAY = {"address": None, "submission_id": None, "status": None}


@pytest.fixture
def proxy(emulator, bucket, monkeypatch):
    with counting.serve(emulator) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.address)
        yield proxy


def reached(run: Run) -> Run:
    """The run through a file system of its own, which has asked for nothing yet."""
    return Run(Store(run.store.uri), run.name)


def test_a_minute_of_training_costs_few_writes(proxy, bucket):
    """At an interval of 30 s, with real saves, in a time of its own."""
    minutes = 5
    run, clock = opened(f"{bucket}/runs"), Clock()
    number = claims.claim(run, {})
    summary = Summarizer(run, number, {})
    events = EventLog(run, number, clock=clock, listener=summary.add)
    voice = Heartbeat(run, number, events, lambda: {"step": 1}, summary, clock)
    saver = Checkpointer(run, number, CheckpointConfig(), events, 0, clock, clock.sleep)
    state = small_state(1)
    with proxy.account() as made:
        for second in range(1, minutes * 60 + 1):
            clock.now += 1.0
            voice.scalar("train/nelbo_bpd", 0.5, second)
            if second % 10 == 0:
                events.add(kinds.Trained(step=second, nelbo_bpd=0.5))
                logging.getLogger("ardm.test").warning("something to be logged")
            saver.offer(second, state)
            saver.wait(30.0)
            voice.do_what_is_due()
            voice.uploads.do_what_is_due()
    voice.close()
    counts = Counter(path.split("name=")[-1].split("&")[0] for path in class_a(made))
    writes = sorted(counts.items(), key=lambda item: -item[1])
    assert len(class_a(made)) <= 20 * minutes, writes
    beside = [path for path in class_a(made) if "/checkpoints/" not in path]
    assert len(beside) <= 8 * minutes, writes
    files = [name for name in counts if "tensorboard" in name or "logs" in name]
    assert len(files) == 2
    assert sum(counts[name] for name in files) <= 2 * minutes + 1
    saves = [e for e in event_log.read(run, number) if isinstance(e, kinds.Saved)]
    assert len(saves) == 2 * minutes
    assert history.records(run)[0].save_count == 2 * minutes


@pytest.fixture(scope="module")
def thousand(emulator):
    """A run of 1,000 attempts."""
    from ardm.chaos.emulator import make_bucket

    make_bucket(emulator, "thousand")
    run = opened("gs://thousand/runs")
    long_past.many_attempts(run, 1000)
    return run


@pytest.fixture(scope="module")
def month(emulator):
    """A run of one attempt of 30 days."""
    from ardm.chaos.emulator import make_bucket

    make_bucket(emulator, "month")
    run = opened("gs://month/runs")
    long_past.one_attempt(run, 30.0, step_s=30.0)
    return run


def test_an_attempt_of_30_days_leaves_few_objects_and_all_events(month):
    objects = month.store.files(month.name)
    assert len(objects) <= 150
    assert sum(name.startswith("events/") for name in objects) > 40
    (record,) = history.records(month)
    assert record.save_count == pytest.approx(86_400, rel=0.01)
    assert record.save_bytes == record.save_count * 10**7
    assert record.stalls_s == pytest.approx(record.save_count * 0.01)
    assert len(history.read(month).curve.train) <= 2000


@pytest.mark.parametrize("past", ["thousand", "month"])
def test_however_long_the_past_it_is_read_in_a_few_requests(proxy, request, past):
    run = reached(request.getfixturevalue(past))
    proxy.delay = DELAY
    with proxy.account() as made:
        found = history.read(run)
    assert len(found.records) == {"thousand": 1000, "month": 1}[past]
    assert len(class_a(made)) <= 12
    assert len(class_b(made)) <= 40
    assert proxy.rounds(made) <= 10


@pytest.mark.parametrize("past", ["thousand", "month"])
def test_status_and_the_checks_of_a_restart_add_little(proxy, request, past):
    run = reached(request.getfixturevalue(past))
    with proxy.account() as made:
        status(run, NO_RAY)
    assert len(class_a(made)) <= 16
    assert len(class_b(made)) <= 45
    with proxy.account() as made:
        assert control.attempts_of(run, "run-1") == [r.attempt for r in history.records(run)]
        assert not control.taken_over(run, "run-1")
    assert len(made) <= 110


@pytest.mark.parametrize("past", ["thousand", "month"])
def test_a_stop_reads_one_object_and_writes_one(proxy, request, past):
    run = reached(request.getfixturevalue(past))
    with proxy.account() as made:
        assert control.request_stop(run) == max(run.attempts())
    run.store.remove([run.stop_request(max(run.attempts()))])
    assert len([p for p in class_b(made) if "%2Fprogress" in p]) == 1
    assert len(class_b(made)) == 1
    assert len([p for p in class_a(made) if p.startswith("POST")]) == 1


def test_to_look_on_costs_reads_and_no_listing(proxy, bucket):
    run, clock = opened(f"{bucket}/runs"), Clock()
    claims.claim(run, {})
    newest = history.Newest(run, clock)
    assert newest() == 1
    claims.claim(run, {})
    with proxy.account() as made:
        for _ in range(30):
            clock.now += 2.0
            assert newest() == 2
    assert class_a(made) == []
    # A claim in between that somebody has removed is found by the next listing.
    run.store.create(run.claim(4), b"{}")
    assert newest() == 2
    clock.now += history.LISTING
    assert newest() == 4

import logging
import threading
import time
from pathlib import Path

import pytest

from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.runner import control, heartbeat
from ardm.runner.heartbeat import Heartbeat
from ardm.store import claims
from ardm.store.retry import Deadline
from tests.runner.setting import events


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_LOCAL", 0.05)
    monkeypatch.setattr(heartbeat, "BEAT_REMOTE", 0.1)
    monkeypatch.setattr(heartbeat, "LISTEN_LOCAL", 0.05)
    monkeypatch.setattr(heartbeat, "LISTEN_REMOTE", 0.1)


@pytest.fixture
def recording(run):
    """A recorder of the run's first attempt, its event log, and the number."""
    number = claims.claim(run, {})
    event_log = EventLog(run, number)
    voice = Heartbeat(run, number, event_log, lambda: {"step": 3, "state": "training"})
    yield voice, event_log, number
    voice.close()


def soon(ask, seconds: float = 15.0):
    deadline = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_each_beat_sends_the_events_and_where_the_attempt_is(run, recording):
    voice, event_log, number = recording
    event_log.add(kinds.Started(step=0))
    voice.start()
    progress = soon(lambda: run.store.read_record(run.progress(number)))
    assert (progress["step"], progress["state"]) == (3, "training")
    assert time.time() - progress["time"] < 20
    assert [e.event for e in events(run, number)] == ["started"]


def test_an_event_does_not_wait_for_the_next_beat(run, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_LOCAL", 60.0)
    monkeypatch.setattr(heartbeat, "BEAT_REMOTE", 60.0)
    monkeypatch.setattr(heartbeat, "BREATH_LOCAL", 0.1)
    monkeypatch.setattr(heartbeat, "BREATH_REMOTE", 0.1)
    number = claims.claim(run, {})
    event_log = EventLog(run, number)
    voice = Heartbeat(run, number, event_log, dict)
    voice.start()
    for kind in (kinds.Restored, kinds.FirstStep):
        event_log.add(kind(step=1, seconds=0.0))
        assert soon(lambda kind=kind: events(run, number, kind))
    voice.close()


def test_a_stop_request_and_a_newer_claim_are_heard(run, recording):
    voice, _, number = recording
    voice.start()
    assert not voice.stop_requested
    assert control.request_stop(run) == number
    assert soon(lambda: voice.stop_requested)
    assert voice.superseded_by is None
    newer = claims.claim(run, {})
    assert soon(lambda: voice.superseded_by) == newer


def test_the_log_the_scalars_and_the_pictures_reach_the_store(run, recording):
    voice, _, number = recording
    logging.getLogger("ardm.test").warning("something to be logged")
    voice.scalar("train/nelbo_bpd", 0.5, 1)
    voice.put("samples", "00000001.png", b"png")
    voice.close()
    assert b"something to be logged" in run.store.read(run.file("logs", f"{number:06d}.log"))
    assert run.store.read(run.file("samples", "00000001.png")) == b"png"
    folder = f"{run.name}/tensorboard/{number:06d}"
    assert [name for name in run.store.names(folder) if name.startswith("events.out")]


def test_a_failing_store_reaches_nobody_and_all_is_sent_once_it_is_mended(local_run):
    number = claims.claim(local_run, {})
    event_log = EventLog(local_run, number)
    voice = Heartbeat(local_run, number, event_log, dict)
    blocked = [Path(local_run.store.path(f"{local_run.name}/{n}")) for n in ("events", "samples")]
    for path in blocked:
        path.write_text("in the way")
    voice.start()
    event_log.add(kinds.Started(step=0))
    voice.put("samples", "a.png", b"png")
    time.sleep(0.3)
    assert voice._thread.is_alive()
    for path in blocked:
        path.unlink()
    assert soon(lambda: events(local_run, number, kinds.Started))
    voice.close()


def test_a_store_that_is_gone_at_the_end_is_left_alone(local_run):
    number = claims.claim(local_run, {})
    voice = Heartbeat(local_run, number, EventLog(local_run, number), dict)
    voice.start()
    root = Path(local_run.store.root)
    root.rename(root.with_name("elsewhere"))
    root.write_text("in the way")
    begin = time.monotonic()
    voice.close(Deadline(1.0))
    assert 0.9 < time.monotonic() - begin < 5
    voice._thread.join(5)
    assert not voice._thread.is_alive()


def in_the_way(run, name: str) -> Path:
    """A file where a directory of the run should be."""
    path = Path(run.store.path(f"{run.name}/{name}"))
    path.write_text("in the way")
    return path


def test_a_stop_is_heard_though_nothing_can_be_written(local_run):
    number = claims.claim(local_run, {})
    event_log = EventLog(local_run, number)
    voice = Heartbeat(local_run, number, event_log, dict)
    blocked = [in_the_way(local_run, name) for name in ("events", "progress", "logs")]
    event_log.add(kinds.Started(step=0))
    voice.start()
    control.request_stop(local_run)
    newer = claims.claim(local_run, {})
    assert soon(lambda: voice.stop_requested)
    assert soon(lambda: voice.superseded_by) == newer
    for path in blocked:
        path.unlink()
    voice.close()


def test_what_can_be_written_is_written_whatever_the_rest_meets(local_run):
    number = claims.claim(local_run, {})
    voice = Heartbeat(local_run, number, EventLog(local_run, number), lambda: {"step": 5})
    logging.getLogger("ardm.test").warning("something to be logged")
    voice._events.add(kinds.Started(step=0))
    blocked = in_the_way(local_run, "events")
    voice.close(Deadline(0.2))
    blocked.unlink()
    assert local_run.store.read_record(local_run.progress(number))["step"] == 5
    assert local_run.store.read(local_run.file("logs", f"{number:06d}.log"))


def test_the_last_words_are_tried_again_until_they_are_heard(local_run):
    """Else a run that was completed in an outage of two seconds looks like one that was killed."""
    number = claims.claim(local_run, {})
    event_log = EventLog(local_run, number)
    voice = Heartbeat(local_run, number, event_log, dict)
    voice.start()
    blocked = in_the_way(local_run, "events")
    mend = threading.Timer(1.5, blocked.unlink)
    mend.start()
    event_log.add(kinds.Ended(outcome="completed", step=3))
    voice.close()
    assert control.ended(local_run, number).outcome == "completed"

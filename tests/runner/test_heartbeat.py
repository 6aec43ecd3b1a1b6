import logging
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.runner import control
from ardm.runner.context import Rhythm, Timings
from ardm.runner.heartbeat import Heartbeat
from ardm.store import claims
from ardm.store.retry import Deadline
from tests.runner.setting import events

QUICK = Rhythm(beat=0.05, breath=1.0, listen=0.05)


def heartbeat(run, number, events, progress=dict, rhythm=QUICK):
    """A heartbeat that beats and listens often."""
    return Heartbeat(run, number, events, progress, timings=Timings(local=rhythm, remote=rhythm))


@pytest.fixture
def recording(run):
    """A recorder of the run's first attempt, its event log, and the number."""
    number = claims.claim(run, {})
    event_log = EventLog(run, number)
    beating = heartbeat(run, number, event_log, lambda: {"step": 3, "state": "training"})
    yield beating, event_log, number
    beating.close()


def soon(ask, seconds: float = 15.0):
    deadline = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_each_beat_sends_the_events_and_where_the_attempt_is(run, recording):
    beating, event_log, number = recording
    event_log.add(kinds.Started(step=0))
    beating.start()
    progress = soon(lambda: run.store.read_record(run.progress(number)))
    assert (progress["step"], progress["state"]) == (3, "training")
    assert time.time() - progress["time"] < 20
    assert [e.event for e in events(run, number)] == ["started"]


def test_an_event_does_not_wait_for_the_next_beat(run):
    number = claims.claim(run, {})
    event_log = EventLog(run, number)
    beating = heartbeat(run, number, event_log, rhythm=Rhythm(beat=60.0, breath=0.1, listen=1.0))
    beating.start()
    for kind in (kinds.Restored, kinds.FirstStep):
        event_log.add(kind(step=1, seconds=0.0))
        assert soon(lambda kind=kind: events(run, number, kind))
    beating.close()


def test_a_stop_request_and_a_newer_claim_are_heard(run, recording):
    beating, _, number = recording
    beating.start()
    assert not beating.stop_requested
    assert control.request_stop(run) == number
    assert soon(lambda: beating.stop_requested)
    assert beating.superseded_by is None
    newer = claims.claim(run, {})
    assert soon(lambda: beating.superseded_by) == newer


def test_the_log_the_scalars_and_the_pictures_reach_the_store(run, recording):
    beating, _, number = recording
    logging.getLogger("ardm.test").warning("something to be logged")
    beating.scalar("train/nelbo_bpd", 0.5, 1)
    beating.put("samples", "00000001.png", b"png")
    beating.close(Deadline(300.0))  # TensorBoard is slow to import beside other work
    assert b"something to be logged" in run.store.read(run.file("logs", f"{number:06d}.log"))
    assert run.store.read(run.file("samples", "00000001.png")) == b"png"
    name = f"events.out.tfevents.{number:06d}.000001"
    assert run.store.names(f"{run.name}/tensorboard") == [name]


def test_a_failing_store_reaches_nobody_and_all_is_sent_once_it_is_mended(local_run):
    number = claims.claim(local_run, {})
    event_log = EventLog(local_run, number)
    beating = heartbeat(local_run, number, event_log, dict)
    blocked = [Path(local_run.store.path(f"{local_run.name}/{n}")) for n in ("events", "samples")]
    for path in blocked:
        path.write_text("in the way")
    beating.start()
    event_log.add(kinds.Started(step=0))
    beating.put("samples", "a.png", b"png")
    time.sleep(0.3)
    for path in blocked:
        path.unlink()
    assert soon(lambda: events(local_run, number, kinds.Started))
    beating.close()


def test_a_store_that_is_gone_at_the_end_is_left_alone(local_run):
    number = claims.claim(local_run, {})
    before = {*threading.enumerate()}
    beating = heartbeat(local_run, number, EventLog(local_run, number), dict)
    beating.start()
    root = Path(local_run.store.root)
    root.rename(root.with_name("elsewhere"))
    while not root.is_file():
        with suppress(IsADirectoryError):  # a beat may have come in between, and made it again
            root.write_text("in the way")
            break
        shutil.rmtree(root, ignore_errors=True)
    begin = time.monotonic()
    beating.close(Deadline(1.0))
    assert 0.9 < time.monotonic() - begin < 5
    left = {*threading.enumerate()} - before
    for thread in left:
        thread.join(20)
    assert not any(thread.is_alive() for thread in left)


def in_the_way(run, name: str) -> Path:
    """A file where a directory of the run should be."""
    path = Path(run.store.path(f"{run.name}/{name}"))
    path.write_text("in the way")
    return path


def test_a_stop_is_heard_though_nothing_can_be_written(local_run):
    number = claims.claim(local_run, {})
    event_log = EventLog(local_run, number)
    beating = heartbeat(local_run, number, event_log, dict)
    blocked = [in_the_way(local_run, name) for name in ("events", "progress", "logs")]
    event_log.add(kinds.Started(step=0))
    beating.start()
    control.request_stop(local_run)
    newer = claims.claim(local_run, {})
    assert soon(lambda: beating.stop_requested)
    assert soon(lambda: beating.superseded_by) == newer
    for path in blocked:
        path.unlink()
    beating.close()


def test_what_can_be_written_is_written_whatever_the_rest_meets(local_run):
    number = claims.claim(local_run, {})
    events = EventLog(local_run, number)
    beating = heartbeat(local_run, number, events, lambda: {"step": 5})
    logging.getLogger("ardm.test").warning("something to be logged")
    events.add(kinds.Started(step=0))
    blocked = in_the_way(local_run, "events")
    beating.close(Deadline(0.2))
    blocked.unlink()
    assert local_run.store.read_record(local_run.progress(number))["step"] == 5
    assert local_run.store.read(local_run.file("logs", f"{number:06d}.log"))


def test_the_last_words_are_tried_again_until_they_are_heard(local_run):
    """Else a run that was completed in an outage of two seconds looks like one that was killed."""
    number = claims.claim(local_run, {})
    event_log = EventLog(local_run, number)
    beating = heartbeat(local_run, number, event_log, dict)
    beating.start()
    blocked = in_the_way(local_run, "events")
    mend = threading.Timer(1.5, blocked.unlink)
    mend.start()
    event_log.add(kinds.Ended(outcome="completed", step=3))
    beating.close()
    assert control.ended(local_run, number).outcome == "completed"

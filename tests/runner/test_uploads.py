"""The log and the TensorBoard files of an attempt on their way to a real store."""

import json
import logging
import struct
import tempfile
import threading

import pytest

from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.runner import uploads
from ardm.runner.heartbeat import Heartbeat
from ardm.runner.uploads import Uploads
from ardm.store.retry import Deadline
from ardm.store.store import Store
from ardm.trackers.tracker import Scalar
from tests import counting
from tests.clock import Clock
from tests.runner.setting import opened


def files_of(run) -> list[str]:
    return run.store.names(f"{run.name}/tensorboard")


def records(data: bytes) -> int:
    """Complete records in an event file: length, its checksum, content, its checksum."""
    count = at = 0
    while at < len(data):
        (length,) = struct.unpack("<Q", data[at : at + 8])
        at += 16 + length
        count += 1
    assert at == len(data), "the last record is cut off"
    return count


def test_a_long_training_leaves_tensorboard_files_of_bounded_size(run, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "PART", 2000)
    local = tmp_path / "local"
    local.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(local))
    clock = Clock()
    files = Uploads(run, 1, clock)
    for minute in range(6):
        for step in range(50):
            files.add(Scalar("train/nelbo_bpd", 50 * minute + step, 0.0, 0.5))
        clock.now += 60.0
        files.do_what_is_due()
    left = list(local.glob("*/tensorboard/*/*"))
    assert len(left) <= 1, "what is complete and uploaded is removed here"
    files.end(Deadline(20.0))
    files.close()
    names = files_of(run)
    assert len(names) >= 2
    contents = [run.store.read(f"{run.name}/tensorboard/{name}") for name in names]
    # Every file begins with one record that is not ours. The first has four more: from which step
    # on earlier records are void, and three about the run.
    assert sum(records(data) - 1 for data in contents) == 300 + 4
    assert max(len(data) for data in contents) < 2 * 2000 + 50 * 60


def test_an_upload_that_hangs_does_not_stop_the_heartbeat(emulator, bucket, monkeypatch):
    monkeypatch.setattr(uploads, "FIRST", 0.0)
    run = opened(f"{bucket}/runs")
    with counting.serve(emulator) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.address)
        there = type(run)(Store(run.store.uri), run.name)
        proxy.hanging = "logs"
        clock = Clock()
        events = EventLog(there, 1, clock=clock)
        voice = Heartbeat(there, 1, events, lambda: {"step": 1}, clock=clock)
        logging.getLogger("ardm.test").warning("something to be logged")
        upload = threading.Thread(target=voice.uploads.do_what_is_due, daemon=True)
        upload.start()
        assert proxy.hangs.wait(20.0)
        for beat in range(1, 4):
            clock.now += 30.0
            voice.do_what_is_due()
            assert run.store.read_record(run.progress(1))["beat"] == beat
        assert upload.is_alive()
        proxy.release()
        upload.join(20.0)
        voice.close(Deadline(10.0))
    assert b"something" in run.store.read(run.file("logs", "000001.log"))


@pytest.mark.parametrize("kind", ["saved", "notice", "first_step", "ended"])
def test_word_of_what_matters_comes_soon_and_of_the_rest_with_the_beat(bucket, kind):
    run, clock = opened(f"{bucket}/runs"), Clock()
    events = EventLog(run, 1, clock=clock)
    voice = Heartbeat(run, 1, events, dict, clock=clock)

    fields = {"event": kind, "time": 1.0, "seconds": 1.0, "outcome": "stopped"}

    def tail():
        return [e["event"] for e in json.loads(run.store.read(run.progress(1)))["tail"]]

    voice.do_what_is_due()
    events.add(kinds.Stalled(seconds=1.0))
    clock.now += 10.0
    voice.do_what_is_due()
    assert tail() == []
    events.add(kinds.of_json(fields | {"step": 1}))
    voice.do_what_is_due()
    assert tail() == ["stalled", kind]
    events.add(kinds.of_json(fields | {"step": 2}))
    clock.now += 1.0
    voice.do_what_is_due()
    assert len(tail()) == 2, "an object takes about one write a second"
    clock.now += 1.0
    voice.do_what_is_due()
    assert len(tail()) == 3
    voice.close()

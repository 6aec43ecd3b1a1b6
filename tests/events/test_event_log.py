import json
import threading
from pathlib import Path

import pytest

from ardm.events import event_log, kinds
from ardm.events.event_log import EventLog


class Clock:
    now = 100.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def names(run, attempt=1):
    return [event.event for event in event_log.read(run, attempt)]


def happened(name):
    """An event of a kind that no version has."""
    return kinds.Other(event=name)


def test_each_flush_writes_a_segment_of_its_own(run):
    events = EventLog(run, 1, clock=Clock())
    events.flush()
    assert run.store.names(run.events(1)) == []
    events.add(kinds.Claimed(host="a"))
    events.add(kinds.Started(step=0))
    events.flush()
    events.flush()
    added = events.add(kinds.Saved(step=3))
    events.flush()
    assert run.store.names(run.events(1)) == ["000000.jsonl", "000002.jsonl"]
    assert event_log.read(run, 1) == [
        kinds.Claimed(n=0, time=101.0, host="a"),
        kinds.Started(n=1, time=102.0, step=0),
        kinds.Saved(n=2, time=103.0, step=3),
    ]
    assert event_log.read(run, 1)[-1] == added
    assert event_log.read(run, 2) == []


def test_events_stay_in_order_beyond_ten_segments(run):
    events = EventLog(run, 1)
    for i in range(12):
        events.add(happened(f"e{i}"))
        events.flush()
    assert names(run) == [f"e{i}" for i in range(12)]


def test_a_flush_that_fails_keeps_its_events_for_the_next(local_run):
    events = EventLog(local_run, 1)
    folder = Path(local_run.store.path(local_run.name)) / "events"
    folder.write_text("in the way")
    events.add(happened("first"))
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011
            events.flush()
    events.add(happened("second"))
    folder.unlink()
    events.flush()
    assert names(local_run) == ["first", "second"]


def test_nothing_is_lost_or_doubled_between_threads(local_run):
    events = EventLog(local_run, 1)
    over = threading.Event()

    def flushing():
        while not over.is_set():
            events.flush()

    thread = threading.Thread(target=flushing)
    thread.start()
    adding = [
        threading.Thread(target=lambda: [events.add(happened("e")) for _ in range(200)])
        for _ in range(3)
    ]
    for t in adding:
        t.start()
    for t in adding:
        t.join(30)
    over.set()
    thread.join(30)
    events.flush()
    assert len(names(local_run)) == 600


def test_workers_of_one_attempt_do_not_overwrite_each_other(run):
    for rank in (0, 1):
        events = EventLog(run, 1, rank)
        events.add(happened(f"of {rank}"))
        events.flush()
    assert sorted(names(run)) == ["of 0", "of 1"]


def test_the_last_event_of_a_kind():
    events = [kinds.Saved(step=1), kinds.Saved(step=2), happened("x")]
    assert kinds.last(events, kinds.Saved) == kinds.Saved(step=2)
    assert kinds.last(events, kinds.Ended) is None


def sent(run, events):
    """Send the newest events in the progress object, as a heartbeat does."""
    progress = {"beat": 1} | events.for_progress()
    run.store.write(run.progress(1), json.dumps(progress).encode())


def test_events_that_travel_in_the_progress_object_are_read(run):
    events = EventLog(run, 1)
    events.add(kinds.Started(step=0))
    sent(run, events)
    assert run.store.names(run.events(1)) == []
    assert names(run) == ["started"]


def test_a_crash_between_the_segment_and_the_progress_neither_loses_nor_doubles_events(run):
    events = EventLog(run, 1)
    for i in range(3):
        events.add(happened(f"e{i}"))
    sent(run, events)
    events.flush()
    assert names(run) == ["e0", "e1", "e2"]
    events.add(happened("e3"))
    sent(run, events)
    assert names(run) == ["e0", "e1", "e2", "e3"]


def test_small_segments_are_merged_and_none_is_counted_twice(run, monkeypatch):
    monkeypatch.setattr(event_log, "MERGED", 3)
    events = EventLog(run, 1)
    small = {}
    for i in range(8):
        events.add(happened(f"e{i}"))
        events.flush()
        files = run.store.names(run.events(1))
        small |= {n: run.store.read(f"{run.events(1)}/{n}") for n in files if "-" not in n}
    assert run.store.names(run.events(1)) == [
        "000000-000002.jsonl", "000003-000005.jsonl", "000006.jsonl", "000007.jsonl",
    ]  # fmt: skip
    for name, data in small.items():  # as if none had been removed
        run.store.write(f"{run.events(1)}/{name}", data)
    assert names(run) == [f"e{i}" for i in range(8)]
    events.finish()
    assert "000006-000007.jsonl" in run.store.names(run.events(1))
    assert names(run) == [f"e{i}" for i in range(8)]


def test_segments_that_are_merged_while_they_are_read_lose_nothing(local_run, monkeypatch):
    monkeypatch.setattr(event_log, "MERGED", 3)
    events = EventLog(local_run, 1)
    for i in range(2):
        events.add(happened(f"e{i}"))
        events.flush()
    read_many, store = local_run.store.read_many, local_run.store

    def late(paths):
        paths = list(paths)
        if any("events" in path for path in paths) and not merged:
            merged.append(True)
            events.add(happened("e2"))
            events.flush()
        return read_many(paths)

    merged = []
    monkeypatch.setattr(store, "read_many", late)
    assert names(local_run) == ["e0", "e1", "e2"]
    assert store.names(local_run.events(1)) == ["000000-000002.jsonl"]


def test_what_cannot_be_removed_after_a_merge_is_removed_later(local_run, monkeypatch):
    monkeypatch.setattr(event_log, "MERGED", 2)
    events, remove = EventLog(local_run, 1), local_run.store.remove

    def fails(names):
        raise OSError("no")

    monkeypatch.setattr(local_run.store, "remove", fails)
    events.add(happened("e0"))
    events.flush()
    events.add(happened("e1"))
    with pytest.raises(OSError, match="no"):
        events.flush()
    assert names(local_run) == ["e0", "e1"]
    monkeypatch.setattr(local_run.store, "remove", remove)
    events.add(happened("e2"))
    events.flush()
    assert local_run.store.names(local_run.events(1)) == ["000000-000001.jsonl", "000002.jsonl"]


def test_unreadable_lines_and_unexpected_files_are_skipped_with_one_warning_each(run, caplog):
    events = EventLog(run, 1)
    events.add(happened("first"))
    events.flush()
    folder = run.events(1)
    torn = b'{"event": "torn", "ti'
    odd = b'\xff\n[1]\n{"event": 3, "time": 1}\n{"event": "x", "time": NaN}\n{"event": "x"}\n'
    good = b'{"event": "second", "time": 1.0, "n": 1}\n'
    run.store.write(f"{folder}/000001.jsonl", odd + good + torn)
    run.store.write(f"{folder}/000007.jsonl", b"")
    for name in ("._000000.jsonl", "desktop.ini", "000000 (1).jsonl"):
        run.store.write(f"{folder}/{name}", b"\0\0")
    if run.store.is_local:
        run.store.write(f"{folder}/000009.jsonl/x", b"a directory where a file should be")
    run.store.write(run.progress(1), b'{"beat": 1, "tail": {"no": "list"}}')
    assert names(run) == ["first", "second"]
    assert names(run) == ["first", "second"]
    named = [r.getMessage() for r in caplog.records if "is ignored" in r.getMessage()]
    ends = ("000001.jsonl", "._000000.jsonl", "desktop.ini", "000000 (1).jsonl")
    for name in ends + (("000009.jsonl",) if run.store.is_local else ()):
        assert sum(f"/{name} " in line for line in named) == 1, name
    run.store.write(run.progress(1), b"")
    assert names(run) == ["first", "second"]


def test_what_is_written_is_what_was_given(run):
    """The bytes are a contract: earlier and later versions read them."""
    events = EventLog(run, 1, clock=Clock())
    events.add(kinds.FirstStep(step=1, seconds=2.0, compile_s=1.5))
    events.add(kinds.Trained(step=4, nelbo_bpd=float("nan"), steps_per_s=0.5))
    first = {"event": "first_step", "time": 101.0, "step": 1, "seconds": 2.0, "compile_s": 1.5}
    trained = {
        "n": 1, "event": "trained", "time": 102.0, "step": 4, "nelbo_bpd": None, "steps_per_s": 0.5,
    }  # fmt: skip
    held = events.for_progress()
    assert held == {"first_step": first, "tail": [{"n": 0} | first, trained]}
    events.flush()
    lines = run.store.read(f"{run.events(1)}/000000.jsonl").decode().splitlines()
    assert lines == [json.dumps(event) for event in held["tail"]]
    assert events.for_progress() == {"first_step": first, "tail": []}


def test_a_clock_that_is_set_does_not_disorder_the_events():
    wall, monotonic = 1000.0, 50.0
    clock = event_log.steady_clock(lambda: wall, lambda: monotonic)
    assert clock() == 1000.0
    wall, monotonic = 10.0, 53.0
    assert clock() == 1003.0

import json
import threading
from pathlib import Path

import pytest

from ardm.events import event_log
from ardm.events.event_log import EventLog
from tests.clock import Clock


def kinds(run, attempt=1):
    return [event["event"] for event in event_log.read(run, attempt)]


def test_each_flush_writes_a_segment_of_its_own(run):
    book = EventLog(run, 1, clock=Clock(100.0, tick=1.0))
    book.flush()
    assert run.store.names(run.events(1)) == []
    book.add("claimed", host="a")
    book.add("started", step=0)
    book.flush()
    book.flush()
    book.add("saved", step=3)
    book.flush()
    assert run.store.names(run.events(1)) == ["000000.jsonl", "000002.jsonl"]
    assert event_log.read(run, 1) == [
        {"event": "claimed", "time": 101.0, "host": "a"},
        {"event": "started", "time": 102.0, "step": 0},
        {"event": "saved", "time": 103.0, "step": 3},
    ]
    assert event_log.read(run, 2) == []


def test_events_stay_in_order_beyond_ten_segments(run):
    book = EventLog(run, 1)
    for i in range(12):
        book.add(f"e{i}")
        book.flush()
    assert kinds(run) == [f"e{i}" for i in range(12)]


def test_a_flush_that_fails_keeps_its_events_for_the_next(local_run):
    book = EventLog(local_run, 1)
    folder = Path(local_run.store.path(local_run.name)) / "events"
    folder.write_text("in the way")
    book.add("first")
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011
            book.flush()
    book.add("second")
    folder.unlink()
    book.flush()
    assert kinds(local_run) == ["first", "second"]


def test_nothing_is_lost_or_doubled_between_threads(local_run):
    book = EventLog(local_run, 1)
    over = threading.Event()

    def flushing():
        while not over.is_set():
            book.flush()

    thread = threading.Thread(target=flushing)
    thread.start()
    adding = [
        threading.Thread(target=lambda: [book.add("e") for _ in range(200)]) for _ in range(3)
    ]
    for t in adding:
        t.start()
    for t in adding:
        t.join(30)
    over.set()
    thread.join(30)
    book.flush()
    assert len(kinds(local_run)) == 600


def test_workers_of_one_attempt_do_not_overwrite_each_other(run):
    for rank in (0, 1):
        book = EventLog(run, 1, rank)
        book.add(f"of {rank}")
        book.flush()
    assert sorted(kinds(run)) == ["of 0", "of 1"]


def test_the_last_event_of_a_kind():
    told = [{"event": "saved", "step": 1}, {"event": "saved", "step": 2}, {"event": "x"}]
    assert event_log.last(told, "saved") == {"event": "saved", "step": 2}
    assert event_log.last(told, "ended") is None


def sent(run, book, **more):
    """Send the tail in the progress object, as a heartbeat does."""
    told = {"beat": 1, "tail": book.tail()} | more
    run.store.write(run.progress(1), json.dumps(told).encode())


def test_events_that_travel_in_the_progress_object_are_read(run):
    book = EventLog(run, 1)
    book.add("started", step=0)
    sent(run, book)
    assert run.store.names(run.events(1)) == []
    assert kinds(run) == ["started"]


def test_a_crash_between_the_segment_and_the_progress_neither_loses_nor_doubles_events(run):
    book = EventLog(run, 1)
    for i in range(3):
        book.add(f"e{i}")
    sent(run, book)
    book.flush()
    assert kinds(run) == ["e0", "e1", "e2"]
    book.add("e3")
    sent(run, book)
    assert kinds(run) == ["e0", "e1", "e2", "e3"]


def test_small_segments_are_merged_and_none_is_counted_twice(run, monkeypatch):
    monkeypatch.setattr(event_log, "MERGED", 3)
    book = EventLog(run, 1)
    small = {}
    for i in range(8):
        book.add(f"e{i}")
        book.flush()
        names = run.store.names(run.events(1))
        small |= {n: run.store.read(f"{run.events(1)}/{n}") for n in names if "-" not in n}
    assert run.store.names(run.events(1)) == [
        "000000-000002.jsonl", "000003-000005.jsonl", "000006.jsonl", "000007.jsonl",
    ]  # fmt: skip
    for name, data in small.items():  # as if none had been removed
        run.store.write(f"{run.events(1)}/{name}", data)
    assert kinds(run) == [f"e{i}" for i in range(8)]
    book.finish()
    assert "000006-000007.jsonl" in run.store.names(run.events(1))
    assert kinds(run) == [f"e{i}" for i in range(8)]


def test_segments_that_are_merged_while_they_are_read_lose_nothing(local_run, monkeypatch):
    monkeypatch.setattr(event_log, "MERGED", 3)
    book = EventLog(local_run, 1)
    for i in range(2):
        book.add(f"e{i}")
        book.flush()
    read_many, store = local_run.store.read_many, local_run.store

    def late(names):
        names = list(names)
        if any("events" in name for name in names) and not merged:
            merged.append(True)
            book.add("e2")
            book.flush()
        return read_many(names)

    merged = []
    monkeypatch.setattr(store, "read_many", late)
    assert kinds(local_run) == ["e0", "e1", "e2"]
    assert store.names(local_run.events(1)) == ["000000-000002.jsonl"]


def test_what_cannot_be_removed_after_a_merge_is_removed_later(local_run, monkeypatch):
    monkeypatch.setattr(event_log, "MERGED", 2)
    book, remove = EventLog(local_run, 1), local_run.store.remove

    def fails(names):
        raise OSError("no")

    monkeypatch.setattr(local_run.store, "remove", fails)
    book.add("e0")
    book.flush()
    book.add("e1")
    with pytest.raises(OSError, match="no"):
        book.flush()
    assert kinds(local_run) == ["e0", "e1"]
    monkeypatch.setattr(local_run.store, "remove", remove)
    book.add("e2")
    book.flush()
    assert local_run.store.names(local_run.events(1)) == ["000000-000001.jsonl", "000002.jsonl"]


def test_unreadable_lines_and_unexpected_files_are_skipped_with_one_warning_each(run, caplog):
    book = EventLog(run, 1)
    book.add("first")
    book.flush()
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
    assert kinds(run) == ["first", "second"]
    assert kinds(run) == ["first", "second"]
    named = [r.getMessage() for r in caplog.records if "is ignored" in r.getMessage()]
    ends = ("000001.jsonl", "._000000.jsonl", "desktop.ini", "000000 (1).jsonl")
    for name in ends + (("000009.jsonl",) if run.store.is_local else ()):
        assert sum(f"/{name} " in line for line in named) == 1, name
    run.store.write(run.progress(1), b"")
    assert kinds(run) == ["first", "second"]


def test_a_clock_that_is_set_does_not_disorder_the_events():
    wall, monotonic = 1000.0, 50.0
    clock = event_log.steady_clock(lambda: wall, lambda: monotonic)
    assert clock() == 1000.0
    wall, monotonic = 10.0, 53.0
    assert clock() == 1003.0

import threading
from pathlib import Path

import pytest

from ardm.runs import ledger
from ardm.runs.ledger import Ledger


class Clock:
    now = 100.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def kinds(run, attempt=1):
    return [event["event"] for event in ledger.read(run, attempt)]


def test_each_flush_writes_a_segment_of_its_own(run):
    book = Ledger(run, 1, clock=Clock())
    book.flush()
    assert run.store.names(run.events(1)) == []
    book.add("claimed", host="a")
    book.add("started", step=0)
    book.flush()
    book.flush()
    book.add("saved", step=3)
    book.flush()
    assert run.store.names(run.events(1)) == ["000000.jsonl", "000002.jsonl"]
    assert ledger.read(run, 1) == [
        {"event": "claimed", "time": 101.0, "host": "a"},
        {"event": "started", "time": 102.0, "step": 0},
        {"event": "saved", "time": 103.0, "step": 3},
    ]
    assert ledger.read(run, 2) == []


def test_events_stay_in_order_beyond_ten_segments(run):
    book = Ledger(run, 1)
    for i in range(12):
        book.add(f"e{i}")
        book.flush()
    assert kinds(run) == [f"e{i}" for i in range(12)]


def test_a_flush_that_fails_keeps_its_events_for_the_next(local_run):
    book = Ledger(local_run, 1)
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
    book = Ledger(local_run, 1)
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
        book = Ledger(run, 1, rank)
        book.add(f"of {rank}")
        book.flush()
    assert sorted(kinds(run)) == ["of 0", "of 1"]


def test_the_last_event_of_a_kind():
    told = [{"event": "saved", "step": 1}, {"event": "saved", "step": 2}, {"event": "x"}]
    assert ledger.last(told, "saved") == {"event": "saved", "step": 2}
    assert ledger.last(told, "ended") is None

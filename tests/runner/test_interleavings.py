"""Claims, fencing, pruning and compaction in thousands of schedules, of a bucket in memory."""

import json
import os
import re
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardm.checkpoint import checkpointer, checkpoints, restore, serialization
from ardm.checkpoint.checkpointer import Checkpointer
from ardm.checkpoint.checkpoints import Unfinished
from ardm.checkpoint.digest import digest
from ardm.checkpoint.serialization import COMPLETE, METADATA, Damaged
from ardm.events import event_log, history, kinds
from ardm.events.event_log import EventLog
from ardm.events.summaries import Summarizer
from ardm.job.config import CheckpointConfig
from ardm.store import claims
from ardm.store.run_directory import Run
from tests.simulated import Actor, Bucket, Schedule, Turn, schedules, store_on

pytestmark = pytest.mark.slow


T = TypeVar("T")

SCHEDULES = 5000 if "ARDM_TEST_LONG" in os.environ else 200


class World:
    """A run in a simulated bucket, and what must be true of it after each change."""

    def __init__(self, turns: list[Turn], monkeypatch: pytest.MonkeyPatch) -> None:
        self.schedule = Schedule(turns)
        self.bucket = Bucket(self.schedule, self.look)
        self.run = Run(store_on(self.bucket, monkeypatch), "run")
        self.attempts: dict[str, int] = {}
        """Number of the attempt of each actor that has one."""
        self.newest = (0, 0)
        """Step and attempt of the newest checkpoint so far."""
        self.late: dict[int, set[int]] = {}
        """Steps that an attempt committed after a newer one had claimed the run."""

    def look(self, change: str, path: str) -> None:
        found = [(c.step, c.attempt) for c in self.committed()]
        newest = max(found, default=(0, 0))
        assert newest >= self.newest, f"the newest checkpoint went with {change} {path}"
        self.newest = newest
        mine = self.attempts.get(self.schedule.actor())
        if mine is None or "/checkpoints/" not in path:
            return
        step, number = self._place(path)
        assert number <= mine, f"attempt {mine} did {change} {path}"
        if change == "write" and path.endswith(COMPLETE) and mine < self.newest_claim():
            self.late.setdefault(mine, set()).add(step)
            assert len(self.late[mine]) == 1, f"attempt {mine} began a save after it was overtaken"

    def committed(self) -> list[checkpoints.Checkpoint]:
        """What `checkpoints.committed` gives, in no time."""
        found: dict[tuple[int, int], set[str]] = {}
        for path in self.bucket.objects:
            if match := re.search(r"/checkpoints/(\d+)/(\d+)/(.+)", path):
                number, step, file = match.groups()
                found.setdefault((int(number), int(step)), set()).add(file)
        whole = [place for place, files in found.items() if serialization.is_finished(files)]
        return [checkpoints.Checkpoint(self.run, *place) for place in whole]

    def newest_claim(self) -> int:
        claims = (re.search(r"/attempts/(\d+)\.json", path) for path in self.bucket.objects)
        return max((int(match.group(1)) for match in claims if match), default=0)

    def claim(self) -> int:
        """Claim the run for the actor of this thread; its number is nobody else's."""
        token = uuid.uuid4().hex
        number = insist(lambda: claims.claim(self.run, {"token": token}))
        assert number not in self.attempts.values()
        self.attempts[self.schedule.actor()] = number
        return number

    def train(self, steps: int, keep_last: int) -> None:
        """One attempt: claim, restore, and a save after each step."""
        run, number = self.run, self.claim()
        saved_before = self.newest[0]
        found = insist(lambda: restore.newest_verified(run, None, passed_over, fall_back=False))
        begin = found[0].step if found else 0
        assert begin >= saved_before, f"step {saved_before} was saved; this begins with {begin}"
        config = CheckpointConfig(interval=0, keep_last=keep_last)
        events = EventLog(run, number, clock=lambda: 0.0)
        saving = insist(lambda: Checkpointer(run, number, config, events, begin, clock=lambda: 0.0))
        for step in range(begin + 1, begin + 1 + steps):
            saving.offer(step, {"step": np.int32(step)})
            if saving.superseded_by is not None:
                return
        insist(events.finish)

    @staticmethod
    def _place(path: str) -> tuple[int, int]:
        match = re.search(r"/checkpoints/(\d+)/(\d+)/", path)
        assert match, path
        return int(match.group(2)), int(match.group(1))


def insist(work: Callable[[], T]) -> T:
    """Try again until it succeeds, as `retry` does, which has a clock."""
    while True:
        try:
            return work()
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError:
            continue


def passed_over(checkpoint: checkpoints.Checkpoint, error: Exception) -> None:
    assert isinstance(error, Unfinished), f"{checkpoint.name} looks wrong: {error!r}"


def write_plainly(folder: Path, state: Any, metadata: dict[str, Any], *, few_files: bool) -> int:
    """In the place of Orbax, which takes a hundred times as long: files of the same names."""
    (folder / "d").mkdir(parents=True)
    (folder / "d" / "array").write_bytes(state["step"].tobytes())
    for name in ("_METADATA", "manifest.ocdbt", COMPLETE):
        (folder / name).write_bytes(b"")
    (folder / METADATA).write_text(json.dumps(metadata))
    return 0


def load_plainly(folder: Path, template: Any = None) -> tuple[Any, dict[str, Any]]:
    try:
        about = json.loads((folder / METADATA).read_text())
        step = np.frombuffer((folder / "d" / "array").read_bytes(), np.int32)[0]
    except FileNotFoundError as error:
        raise Damaged(str(error)) from error
    if digest({"step": step}) != about["digest"]:
        raise Damaged("other bytes")
    return {"step": step}, about


def at_once(work: Callable[[], T], name: str) -> Future[T]:
    """In the place of a thread, whose requests would follow no schedule."""
    done: Future[T] = Future()
    done.set_result(work())
    return done


@pytest.fixture(autouse=True, scope="module")
def plainly():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serialization, "write", write_plainly)
        patch.setattr(serialization, "load", load_plainly)
        patch.setattr(serialization, "verify", lambda folder: load_plainly(folder)[1])
        patch.setattr(checkpointer, "in_background", at_once)
        patch.setattr(event_log, "MERGED", 2)
        yield patch


@settings(max_examples=SCHEDULES)
@given(schedules(4), st.integers(1, 3))
def test_attempts_that_meet_lose_no_checkpoint(plainly, turns, keep_last):
    """Three attempts save while a reader looks for the newest checkpoint."""
    world = World(turns, plainly)

    def read() -> None:
        before = world.newest[0]
        found = insist(
            lambda: restore.newest_verified(world.run, None, passed_over, fall_back=False)
        )
        assert (found[0].step if found else 0) >= before

    trainers = [Actor(name, lambda: world.train(3, keep_last)) for name in ("a", "b", "c")]
    world.schedule.run(*trainers, Actor("reader", read))
    last, before = World([], plainly), world.newest[0]
    last.bucket.objects = world.bucket.objects
    last.schedule.run(Actor("last", lambda: last.train(4, keep_last)))
    assert last.newest[0] == before + 4
    kept = [c.step for c in checkpoints.committed(last.run)]
    assert kept == sorted(kept, reverse=True)
    assert sorted(set(kept)) == list(range(before + 5 - keep_last, before + 5))
    assert all(entry.committed for entry in checkpoints.entries(last.run))


@settings(max_examples=SCHEDULES)
@given(schedules(3))
def test_events_are_read_once_and_in_order_while_segments_are_merged(plainly, turns):
    world = World(turns, plainly)
    run, written = world.run, [0]

    def write() -> None:
        events = EventLog(run, world.claim(), clock=lambda: 0.0)
        for number in range(9):
            events.add(kinds.Other(event="happened", number=number))
            tail = json.dumps(events.for_progress()).encode()
            insist(lambda tail=tail: run.store.write(run.progress(1), tail))
            written[0] = number + 1
            if number % 2:
                insist(events.flush)
        insist(events.finish)

    def read() -> None:
        for _ in range(3):
            before = written[0]
            found = insist(lambda: event_log.read(run, 1))
            numbers = [event.number for event in found]
            assert numbers == list(range(len(numbers)))
            assert len(numbers) >= before

    world.schedule.run(Actor("writer", write), Actor("one", read), Actor("other", read))
    assert len(event_log.read(run, 1)) >= written[0]


@settings(max_examples=SCHEDULES)
@given(schedules(5))
def test_caches_of_the_history_never_say_something_else_than_the_events(plainly, turns):
    world = World(turns, plainly)
    run = world.run

    def live() -> None:
        number = world.claim()
        summary = Summarizer(run, number, insist(lambda: run.store.read_record(run.claim(number))))
        events = EventLog(run, number, clock=lambda: 0.0, listener=summary.add)
        for step in range(4):
            events.add(kinds.Trained(step=step, nelbo_bpd=1.0 / (step + number)))
            if step % 2:
                insist(events.flush)
                insist(summary.write)
        events.add(kinds.Ended(step=4, outcome="completed"))
        insist(events.finish)
        insist(summary.write)

    def look() -> None:
        for _ in range(3):
            insist(lambda: history.read(run).write_roll_up(run))

    actors = [Actor(name, live) for name in ("a", "b", "c")]
    world.schedule.run(*actors, Actor("reader", look), Actor("other", look))
    cached = history.read(run)
    world.bucket.objects = {
        path: data for path, data in world.bucket.objects.items() if "/history/" not in path
    }
    plain = history.read(run)
    assert (cached.records, cached.curve) == (plain.records, plain.curve)

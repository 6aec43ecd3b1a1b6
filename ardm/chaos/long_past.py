"""Runs with a long past: a thousand attempts, or one attempt of a month.

They are written through the event log itself, but for its beats, of which a month has 130,000.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from ardm.events import event_log, kinds
from ardm.events.event_log import EventLog
from ardm.events.events import Event
from ardm.events.history import UNSETTLED
from ardm.events.summaries import RollUp, Summarizer, begin
from ardm.runner.pace import Pace
from ardm.store.run_directory import Run
from ardm.store.store import Store

ATTEMPT_S = 2400.0
"""Seconds from one of many attempts to the next."""

DAY = 86400.0


def many_attempts(run: Run, count: int) -> None:
    """Write attempts of which each was killed after some saves.

    Args:
        run: without attempts.
        count: of attempts.
    """
    rolled = RollUp(upto=max(count - UNSETTLED, 0))
    contents: dict[str, bytes] = {}
    for n in range(1, count + 1):
        claim, events = _claim(n), _events(n)
        contents[run.claim(n)] = json.dumps(claim).encode()
        if n > rolled.upto:
            progress = _progress(n, events[-1].time, n * 80 - 1)
            tail = [{"n": i, **event.as_json()} for i, event in enumerate(events)]
            contents[run.progress(n)] = json.dumps(progress | {"tail": tail}).encode()
        else:
            summary = begin(n, claim)
            for event in events:
                summary.add(event)
            rolled.records.append(summary.record)
            rolled.curve.follow(summary.curve, summary.record.first_step)
    contents[run.roll_up] = rolled.model_dump_json().encode()
    if run.store.is_local:
        for name, data in contents.items():
            run.store.write(name, data)
    else:
        run.store.fs.pipe({run.store.path(name): data for name, data in contents.items()})


def one_attempt(run: Run, days: float, interval: float = 30.0, step_s: float = 1.0) -> int:
    """Write an attempt that trains yet.

    Args:
        run: without attempts.
        days: since it began.
        interval: seconds between two saves.
        step_s: seconds of a step.

    Returns:
        Events that it has had.
    """
    with tempfile.TemporaryDirectory() as folder:
        aside = run if run.store.is_local else Run(Store(folder), run.name)
        count = _train(aside, days * DAY, interval, step_s)
        if aside is not run:
            source = str(Path(folder) / run.name)
            run.store.fs.put(source, run.store.path(""), recursive=True)
    return count


def _train(run: Run, seconds: float, interval: float, step_s: float) -> int:
    claim, now = _claim(1), 0.0
    run.store.create(run.claim(1), json.dumps(claim).encode())
    summary = Summarizer(run, 1, claim)
    events = EventLog(run, 1, clock=lambda: claim["time"] + now, listener=summary.add)
    pace, count, saved = Pace(10**9, lambda: now), 0, 0.0

    def add(event: Event) -> None:
        nonlocal count
        events.add(event)
        count += 1
        # Each summary replaces the one before, so the last one is all that is left in the end.
        if events.flush(at_least=event_log.FULL) and now > seconds - 4 * event_log.FULL * interval:
            summary.write()

    add(kinds.Claimed(**{k: v for k, v in claim.items() if k != "time"}))
    add(kinds.Started(step=0, seconds=1.0))
    add(kinds.FirstStep(step=1, seconds=3.0, compile_s=2.0))
    for step in range(1, int(seconds / step_s)):
        now += step_s
        pace.step(step, 1.0)
        if window := pace.window():
            add(kinds.Trained(step=step, **window))
        if now - saved >= interval:
            saved = now
            add(kinds.Stalled(step=step, seconds=0.01))
            add(_saved(step, interval))
    progress = _progress(1, claim["time"] + now, step) | events.for_progress()
    run.store.write(run.progress(1), json.dumps(progress).encode())
    return count


def _claim(number: int) -> dict[str, Any]:
    began = 1.7e9 + number * ATTEMPT_S
    libraries = dict.fromkeys(("jax", "jaxlib", "flax", "optax", "numpy"), "0.10.2")
    return {
        "time": began + 1.0, "began": began, "workers": 1, "host": "node", "pid": 1,
        "device": "cpu:cpu", "libraries": libraries, "submission": "run-1",
        "submitted": 1.7e9, "nodes": ["a"], "token": f"{number:032x}",
    }  # fmt: skip


def _saved(step: int, interval: float) -> kinds.Saved:
    return kinds.Saved(step=step, digest="0" * 64, seconds=2.0, bytes=10**7, interval=interval)


def _events(number: int) -> list[Event]:
    began, step = 1.7e9 + number * ATTEMPT_S, (number - 1) * 80
    begin = kinds.Restored if step else kinds.Started
    events: list[Event] = [
        begin(time=began + 2.0, step=step, seconds=1.0),
        kinds.FirstStep(time=began + 9.0, step=step + 1, seconds=7.0, compile_s=5.0),
    ]
    for i in range(1, 9):
        then, now = began + 30.0 * i, step + 10 * i
        events += [
            kinds.Trained(time=then, step=now, nelbo_bpd=1.0),
            _saved(now, 30.0).model_copy(update={"time": then}),
        ]
    return events


def _progress(number: int, time: float, step: int) -> dict[str, Any]:
    return {
        "attempt": number, "state": "training", "step": step, "total_steps": 10**9,
        "time": time, "beat": 99, "beat_s": 20.0,
    }  # fmt: skip

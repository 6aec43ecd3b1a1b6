"""Runs with a long past: a thousand attempts, or one attempt of a month.

They are written through the ledger itself, but for its beats, of which a month has 130,000.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from ardm.events import event_log
from ardm.events.event_log import EventLog
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
            progress = _progress(n, events[-1]["time"], n * 80 - 1)
            numbered = [{"n": i, **event} for i, event in enumerate(events)]
            contents[run.progress(n)] = json.dumps(progress | {"tail": numbered}).encode()
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
    book = EventLog(run, 1, clock=lambda: claim["time"] + now, listener=summary.add)
    pace, events, saved = Pace(10**9, lambda: now), 0, 0.0

    def add(kind: str, **fields: Any) -> None:
        nonlocal events
        book.add(kind, **fields)
        events += 1
        # Each summary replaces the one before, so the last one is all that is left in the end.
        if book.flush(at_least=event_log.FULL) and now > seconds - 4 * event_log.FULL * interval:
            summary.write()

    add("claimed", **{k: v for k, v in claim.items() if k != "time"})
    add("started", step=0, seconds=1.0)
    add("first_step", step=1, seconds=3.0, compile_s=2.0)
    for step in range(1, int(seconds / step_s)):
        now += step_s
        pace.step(step, 1.0)
        if window := pace.window():
            add("trained", step=step, **window)
        if now - saved >= interval:
            saved = now
            add("stalled", step=step, seconds=0.01)
            add("saved", step=step, seconds=2.0, bytes=10**7, interval=interval, digest="0" * 64)
    told = _progress(1, claim["time"] + now, step) | book.landmarks | {"tail": book.tail()}
    run.store.write(run.progress(1), json.dumps(told).encode())
    return events


def _claim(number: int) -> dict[str, Any]:
    began = 1.7e9 + number * ATTEMPT_S
    libraries = dict.fromkeys(("jax", "jaxlib", "flax", "optax", "numpy"), "0.10.2")
    return {
        "time": began + 1.0, "began": began, "workers": 1, "host": "node", "pid": 1,
        "device": "cpu:cpu", "libraries": libraries, "submission": "run-1",
        "submitted": 1.7e9, "nodes": ["a"], "token": f"{number:032x}",
    }  # fmt: skip


def _events(number: int) -> list[event_log.Event]:
    began, step = 1.7e9 + number * ATTEMPT_S, (number - 1) * 80
    digest = "0" * 64
    kinds: list[tuple[float, str, dict[str, Any]]] = [
        (2.0, "restored" if step else "started", {"step": step, "seconds": 1.0}),
        (9.0, "first_step", {"step": step + 1, "seconds": 7.0, "compile_s": 5.0}),
    ]
    for i in range(1, 9):
        fields = {"step": step + 10 * i, "seconds": 2.0, "bytes": 10**7, "interval": 30.0}
        kinds.append((30.0 * i, "trained", {"step": step + 10 * i, "nelbo_bpd": 1.0}))
        kinds.append((30.0 * i, "saved", fields | {"digest": digest}))
    return [{"event": kind, "time": began + t, **fields} for t, kind, fields in kinds]


def _progress(number: int, time: float, step: int) -> dict[str, Any]:
    return {
        "attempt": number, "state": "training", "step": step, "total_steps": 10**9,
        "time": time, "beat": 99, "beat_s": 20.0,
    }  # fmt: skip

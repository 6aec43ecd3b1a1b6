"""Saving and restoring the state of `jobs/binmnist.yaml`, on a disk and on the GCS emulator."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from parts.figures import Figure, figure, seconds

ROUNDS = 5


def figures() -> Iterator[Figure]:
    """Measure both kinds of stores."""
    from ardm.chaos import emulator

    with tempfile.TemporaryDirectory(prefix="ardm-bench-") as folder:
        yield from _measure(folder, "disk")
    with emulator.serve(emulator.free_port()) as address:
        os.environ.update(emulator.settings(address))
        emulator.make_bucket(address, "bench")
        yield from _measure("gs://bench/runs", "GCS emulator")


def _measure(uri: str, where: str) -> Iterator[Figure]:
    from ardm.checkpoint import restore
    from ardm.checkpoint.checkpointer import Checkpointer
    from ardm.data.config import describe
    from ardm.events import event_log, kinds
    from ardm.events.event_log import EventLog
    from ardm.job.spec import load
    from ardm.model.build import build
    from ardm.store import claims, registry
    from ardm.store.run_directory import Run
    from ardm.store.store import Store
    from ardm.training.state import init, template

    spec = load("jobs/binmnist.yaml", ["checkpoint.interval=0"])
    model = build(spec.model, *describe(spec.data))
    state = init(model, spec.training, spec.seed)
    run = Run(Store(uri), "bench")
    registry.open_run(run, spec, datetime.now(UTC))
    attempt = claims.claim(run, {})
    events = EventLog(run, attempt)
    saver = Checkpointer(run, attempt, spec.checkpoint, events, 0)
    shapes = template(model, spec.training)
    stalls, durable, restored = list[float](), list[float](), list[float]()
    for step in range(1, ROUNDS + 2):
        stalls.append(1e3 * seconds(partial(saver.offer, step, state)))
        durable.append(1e-3 * stalls[-1] + seconds(partial(saver.wait, 60.0)))
        restored.append(seconds(partial(restore.newest_verified, run, shapes, _unexpected)))
    events.flush()
    saved = kinds.last(event_log.read(run, attempt), kinds.Saved)
    if saved is None or saved.step != ROUNDS + 1:
        raise AssertionError("not every state was saved")
    size = f"{1e-6 * saved.bytes:.1f} MB"
    yield figure(f"save ({where}): training waits", "ms", stalls[1:], size)
    yield figure(f"save ({where}): until it is durable", "s", durable[1:], size)
    yield figure(f"restore ({where}), verified", "s", restored[1:], size)


def _unexpected(checkpoint: Any, reason: Exception) -> None:
    raise reason

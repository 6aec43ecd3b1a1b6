"""Injects faults as they really happen: signals to processes, node drains, damaged objects."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil

from ardm.chaos import power_cut, small_faults
from ardm.chaos.nodes import CONTROLLER, WORKER
from ardm.chaos.schedule import PlannedFault
from ardm.chaos.targets import NoTarget, Targets, pick, pick_node
from ardm.chaos.verdict import InjectedFault
from ardm.cluster import raylet

REPLACEMENT_S = 5.0
"""A drained node is replaced this long after it was killed (seconds)."""

BETWEEN_SIGNALS_S = 0.02
"""Seconds between two SIGTERMs to the same process."""


def inject(targets: Targets, planned: PlannedFault) -> InjectedFault:
    """Inject a fault.

    Args:
        targets: the fault is injected into one of these.
        planned: the fault.

    Returns:
        A record of what was done, when, and to which attempt.

    Raises:
        NoTarget: nothing was done, because the fault has no target at present; try again later.
    """
    progress = targets.watch.progress()
    begin = time.time()
    try:
        description, extra = _FAULTS[planned.kind](targets, planned)
    except psutil.NoSuchProcess as error:
        raise NoTarget(str(error)) from error
    return InjectedFault(
        kind=planned.kind,
        time=begin,
        until=max(time.time(), begin + extra.get("lasts_s", 0.0)),
        # The progress file of the newest attempt may be torn.
        attempt=progress.get("attempt") or targets.run.newest_attempt(),
        step=progress.get("step", 0),
        told=description,
        extra_steps=extra.get("extra_steps", 0),
        saves=extra.get("saves", False),
    )


def _worker(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    victim = pick(targets.nodes.processes(WORKER), planned)
    victim.kill()
    return f"worker {victim.pid} killed", {}


def _node(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    victim = pick_node(targets.nodes, planned)
    targets.nodes.kill(victim)
    targets.later(planned.details["absent_s"], targets.nodes.add)
    return f"node {victim.node_id[:8]} killed, back in {planned.details['absent_s']:.0f} s", {}


def _controller(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    victim = pick(targets.nodes.processes(CONTROLLER), planned)
    victim.kill()
    return f"controller {victim.pid} killed", {}


def _driver(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    victim = pick(targets.nodes.drivers(), planned)
    victim.kill()
    return f"driver {victim.pid} killed", {}


def _head(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    # Deferred actions concern nodes of the old cluster.
    targets.deferred.clear()
    targets.nodes.replace_all(targets.node_count)
    return "head and all nodes killed; another cluster started", {}


def _drain(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    nodes, seconds = targets.nodes, planned.details["deadline_s"]
    victim = pick_node(nodes, planned)
    raylet.drain(victim, "ardm chaos", seconds)

    def end_of_notice() -> None:
        nodes.kill(victim)
        targets.later(REPLACEMENT_S, nodes.add)

    targets.later(seconds, end_of_notice)
    return f"node {victim.node_id[:8]} drained, gone in {seconds:.0f} s", {"lasts_s": seconds}


def _freeze(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    victim = pick(targets.nodes.processes(WORKER), planned)
    seconds = planned.details["seconds"]
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        if victim.is_running():
            os.kill(victim.pid, signal.SIGCONT)
    return f"worker {victim.pid} stopped for {seconds:.0f} s", {}


def _damage(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    workers = targets.nodes.processes(WORKER)
    intact = targets.watch.intact()
    if len(intact) < 2 or not workers:
        # A run promises to fall back to the checkpoint before the newest, so there must be one.
        raise NoTarget
    newest, before = intact[:2]
    targets.watch.exclude(newest)
    fs, directory = targets.run.store.fs, targets.run.checkpoint(newest.attempt, newest.step)
    files = fs.find(targets.run.store.path(directory), detail=True)
    path, at = pick_byte({name: file["size"] for name, file in files.items()}, planned.pick)
    damage_file(fs, path, planned.details["how"], at)
    pick(workers, planned).kill()
    name = path.rpartition(f"{directory}/")[2]
    description = f"step {newest.step}: {planned.details['how']} {name}, and a worker killed"
    return description, {"extra_steps": newest.step - before.step}


def pick_byte(sizes: dict[str, int], pick: float) -> tuple[str, int]:
    """Select a byte of a checkpoint: the file that holds it, and its offset there.

    Args:
        sizes: the size of each file, in bytes.
        pick: a number in [0, 1); uniform numbers select every byte with equal probability.
    """
    left = int(pick * sum(sizes.values()))
    for path in sorted(sizes):
        if left < sizes[path]:
            return path, left
        left -= sizes[path]
    raise NoTarget("the checkpoint is empty")


def damage_file(fs: Any, path: str, how: str, at: int) -> None:
    """Truncate a file at an offset, flip a bit of the byte there, or remove the file."""
    if how == "remove":
        fs.rm(path)
        return
    data = bytearray(fs.cat_file(path))
    if how == "flip":
        data[at] ^= 1 << 4
    else:
        del data[at:]
    fs.pipe_file(path, bytes(data))


def _torn(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    victim = pick(targets.nodes.processes(WORKER), planned)
    chosen = power_cut.choose(targets.run, planned)
    if chosen is None:
        raise NoTarget
    # A living worker would write the torn file again.
    victim.kill()
    power_cut.tear(targets.run.store, chosen)
    return f"{chosen}, and a worker killed", {}


def _signals(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    to, name = planned.details["to"], planned.details["signal"]
    nodes = targets.nodes
    candidates = nodes.drivers() if to == "driver" else nodes.processes(WORKER)
    victim = pick(candidates, planned)
    if name == "SIGHUP":
        victim.send_signal(signal.SIGHUP)
    else:
        victim.send_signal(signal.SIGTERM)
        time.sleep(BETWEEN_SIGNALS_S)
        if victim.is_running():
            victim.send_signal(signal.SIGTERM)
    return f"{name} to {to} {victim.pid}", {"saves": to == "driver"}


_FAULTS: dict[str, Callable[[Targets, PlannedFault], tuple[str, dict[str, Any]]]] = {
    "worker": _worker,
    "node": _node,
    "controller": _controller,
    "driver": _driver,
    "head": _head,
    "drain": _drain,
    "freeze": _freeze,
    "damage": _damage,
    "storage": small_faults.storage,
    "torn": _torn,
    "route": small_faults.route,
    "slow": small_faults.slow,
    "clock": small_faults.clock,
    "signals": _signals,
    "full": small_faults.full,
}

"""Faults, each as what really happens: a signal to a process, a drain, a damaged object."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil

from ardm.chaos import power_cut, small_faults
from ardm.chaos.nodes import CONTROLLER, WORKER
from ardm.chaos.schedule import Planned
from ardm.chaos.stage import NoVictim, Stage, pick, pick_node
from ardm.chaos.verdict import Injected
from ardm.cluster import raylet

ABSENT = 5.0
"""Seconds from the end of a drained node to its replacement."""

BETWEEN = 0.02
"""Seconds from one SIGTERM to the next."""


def inject(stage: Stage, planned: Planned) -> Injected:
    """Make a fault happen.

    Args:
        stage: what it happens to.
        planned: the fault.

    Returns:
        What happened, when, and to which attempt.

    Raises:
        NoVictim: nothing happened; try again later.
    """
    progress = stage.watch.progress()
    begin = time.time()
    try:
        told, more = _FAULTS[planned.kind](stage, planned)
    except psutil.NoSuchProcess as error:
        raise NoVictim(str(error)) from error
    return Injected(
        kind=planned.kind,
        time=begin,
        until=max(time.time(), begin + more.get("lasts_s", 0.0)),
        # The progress file of the newest attempt may be torn.
        attempt=progress.get("attempt") or max(stage.run.attempts(), default=0),
        step=progress.get("step", 0),
        told=told,
        extra_steps=more.get("extra_steps", 0),
        saves=more.get("saves", False),
    )


def _worker(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    victim = pick(stage.nodes.processes(WORKER), planned)
    victim.kill()
    return f"worker {victim.pid} killed", {}


def _node(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    victim = pick_node(stage.nodes, planned)
    stage.nodes.kill(victim)
    stage.later(planned.details["absent_s"], stage.nodes.add)
    return f"node {victim.node_id[:8]} killed, back in {planned.details['absent_s']:.0f} s", {}


def _controller(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    victim = pick(stage.nodes.processes(CONTROLLER), planned)
    victim.kill()
    return f"controller {victim.pid} killed", {}


def _driver(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    victim = pick(stage.nodes.drivers(), planned)
    victim.kill()
    return f"driver {victim.pid} killed", {}


def _head(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    # What was to become of the old nodes is of no interest any more.
    stage.due.clear()
    stage.nodes.replace_all(stage.size)
    return "head and all nodes killed; another cluster started", {}


def _drain(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    nodes, seconds = stage.nodes, planned.details["deadline_s"]
    victim = pick_node(nodes, planned)
    raylet.drain(victim, "ardm chaos", seconds)

    def take_away() -> None:
        nodes.kill(victim)
        stage.later(ABSENT, nodes.add)

    stage.later(seconds, take_away)
    return f"node {victim.node_id[:8]} drained, gone in {seconds:.0f} s", {"lasts_s": seconds}


def _freeze(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    victim = pick(stage.nodes.processes(WORKER), planned)
    seconds = planned.details["seconds"]
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        if victim.is_running():
            os.kill(victim.pid, signal.SIGCONT)
    return f"worker {victim.pid} stopped for {seconds:.0f} s", {}


def _damage(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    workers = stage.nodes.processes(WORKER)
    good = stage.watch.good()
    if len(good) < 2 or not workers:
        # The promise is to fall back to the checkpoint before the newest: there must be one.
        raise NoVictim
    newest, before = good[:2]
    stage.watch.give_up(newest)
    fs, where = stage.run.store.fs, stage.run.checkpoint(newest.attempt, newest.step)
    sizes = fs.find(stage.run.store.path(where), detail=True)
    path, at = pick_byte({name: about["size"] for name, about in sizes.items()}, planned.pick)
    spoil(fs, path, planned.details["how"], at)
    pick(workers, planned).kill()
    told = f"step {newest.step}: {planned.details['how']} {path.rpartition(f'{where}/')[2]}"
    return f"{told}, and a worker killed", {"extra_steps": newest.step - before.step}


def pick_byte(sizes: dict[str, int], pick: float) -> tuple[str, int]:
    """The file that holds some byte of a checkpoint, and where in it; every byte is as likely."""
    left = int(pick * sum(sizes.values()))
    for path in sorted(sizes):
        if left < sizes[path]:
            return path, left
        left -= sizes[path]
    raise NoVictim("an empty checkpoint")


def spoil(fs: Any, path: str, how: str, at: int) -> None:
    """Cut a file off at a byte, flip a bit of it, or remove the file."""
    if how == "remove":
        fs.rm(path)
        return
    data = bytearray(fs.cat_file(path))
    if how == "flip":
        data[at] ^= 1 << 4
    else:
        del data[at:]
    fs.pipe_file(path, bytes(data))


def _torn(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    victim = pick(stage.nodes.processes(WORKER), planned)
    chosen = power_cut.choose(stage.run, planned)
    if chosen is None:
        raise NoVictim
    # The dead do not write a torn file anew.
    victim.kill()
    power_cut.tear(stage.run.store, chosen)
    return f"{chosen}, and a worker killed", {}


def _signals(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    to, drawn = planned.details["to"], planned.details["signal"]
    nodes = stage.nodes
    victims = nodes.drivers() if to == "driver" else nodes.processes(WORKER)
    victim = pick(victims, planned)
    if drawn == "SIGHUP":
        victim.send_signal(signal.SIGHUP)
    else:
        victim.send_signal(signal.SIGTERM)
        time.sleep(BETWEEN)
        if victim.is_running():
            victim.send_signal(signal.SIGTERM)
    return f"{drawn} to {to} {victim.pid}", {"saves": to == "driver"}


_FAULTS: dict[str, Callable[[Stage, Planned], tuple[str, dict[str, Any]]]] = {
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

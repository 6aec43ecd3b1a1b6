"""Faults of one process and its files, and of what is around workers: store, clock, space."""

import os
import random
import signal
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ardm.chaos import machine
from ardm.chaos.schedule import Planned
from ardm.chaos.stage import NoVictim, Stage, pick_node
from ardm.chaos.storage_faults import Fault
from ardm.checkpoint.checkpoints import Entry
from ardm.store.run_directory import Run

SIGNALS = (
    (signal.SIGTERM,),
    (signal.SIGHUP,),
    (signal.SIGINT,),
    (signal.SIGTERM, signal.SIGTERM),
    (signal.SIGHUP, signal.SIGTERM),
    (signal.SIGINT, signal.SIGTERM),
)
"""What a process manager, a terminal that closes and a shell send."""

APART = 0.02
"""Seconds between two signals."""

STRAY = ("._{}", "{} (1)", "{}~", "{}.sync-conflict", "desktop.ini")
"""What tools that copy files leave beside a file."""


def send(process: BaseProcess, signals: tuple[signal.Signals, ...]) -> None:
    """Send signals in a quick row to a process that may end meanwhile."""
    for number in signals:
        if process.pid and process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
            time.sleep(APART)


def tear(run: Run, kept: Entry, rng: random.Random) -> list[str]:
    """Damage some files of a run in a directory as power cuts, full disks and copying tools do.

    Args:
        run: nobody may write to it.
        kept: a checkpoint whose files are left alone.
        rng: chooses files and damage.

    Returns:
        What was done, a line for each file.
    """
    root = Path(run.store.path(run.name))
    safe = Path(run.store.path(kept.checkpoint.name))
    files = sorted(p for p in root.rglob("*") if p.is_file() and safe not in p.parents)
    done = []
    for path in rng.sample(files, min(rng.randint(1, 6), len(files))):
        how = rng.choice(("emptied", "cut", "zeroed", "removed", "doubled"))
        data = path.read_bytes()
        if how == "emptied":
            path.write_bytes(b"")
        elif how == "cut":
            path.write_bytes(data[: rng.randrange(len(data) + 1)])
        elif how == "zeroed":
            path.write_bytes(bytes(len(data)))
        elif how == "removed":
            path.unlink()
        else:
            path.with_name(rng.choice(STRAY).format(path.name)).write_bytes(data)
        done.append(f"{path.relative_to(root)} {how}")
    return done


def flip_a_byte(run: Run, entry: Entry, rng: random.Random) -> str:
    """Change one byte of the arrays of a checkpoint in a directory; which file it was."""
    name = max(entry.files, key=lambda file: entry.files[file])
    path = Path(run.store.path(f"{entry.checkpoint.name}/{name}"))
    data = bytearray(path.read_bytes())
    # The middle of the largest file is content, whatever the format around it.
    at = rng.randrange(len(data) // 4, 3 * len(data) // 4)
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"byte {at} of {name} of step {entry.checkpoint.step}"


def storage(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    """Let the store answer wrongly, slowly or not at all."""
    drawn = planned.details
    fault = Fault(drawn["what"], drawn["share"], drawn["seconds"], drawn["delay"])
    stage.proxy.inject(fault)
    share = "" if fault.share == 1.0 else f" for {fault.share:.0%} of requests"
    return f"store: {fault.kind}{share}, {fault.seconds:.0f} s", {"lasts_s": fault.seconds}


def route(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    """Let the requests of one client library through no more."""
    drawn = planned.details
    fault = Fault(drawn["what"], seconds=drawn["seconds"], client=drawn["client"])
    stage.proxy.inject(fault)
    told = "not let through" if fault.kind == "cut" else f"answered with {fault.kind}"
    who = "libraries other than gcsfs" if fault.client == "others" else fault.client
    return f"store: requests of {who} {told}, {fault.seconds:.0f} s", {"lasts_s": fault.seconds}


def slow(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    """Delay every answer of the store."""
    fault = Fault("slow", seconds=planned.details["seconds"], delay=planned.details["delay"])
    stage.proxy.inject(fault)
    told = f"store: answers {fault.delay * 1000:.0f} ms late, {fault.seconds:.0f} s"
    return told, {"lasts_s": fault.seconds}


def clock(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    """Step the clock of a worker's node."""
    nodes, drawn = stage.nodes, planned.details
    victim = pick_node(nodes, planned)
    number = nodes.number(victim)
    nodes.machine.step(number, drawn["step_s"])
    stage.later(drawn["seconds"], lambda: nodes.machine.step(number, 0.0))
    told = f"clock of node {victim.node_id[:8]} stepped by {drawn['step_s']:+.0f} s"
    # Its processes look at their clock once in a second.
    return f"{told}, back in {drawn['seconds']:.0f} s", {"lasts_s": drawn["seconds"] + 2.0}


def full(stage: Stage, planned: Planned) -> tuple[str, dict[str, Any]]:
    """Fill temporary space of a worker's node."""
    nodes, drawn = stage.nodes, planned.details
    victim = pick_node(nodes, planned)
    temporary = nodes.machine.temporary(nodes.number(victim))
    places: dict[str, list[Path]] = {
        "temporary folder": [temporary],
        "/dev/shm": [machine.SHARED_MEMORY],
    }
    filled = places.get(drawn["where"], [temporary, machine.SHARED_MEMORY])
    try:
        for place in filled:
            machine.fill(victim.pid, place)
    except OSError as error:
        raise NoVictim(str(error)) from error

    def end() -> None:
        for place in filled:
            machine.relieve(victim.pid, place)
        if victim in nodes.nodes and not victim.alive():
            # Ray ends a node whose shared memory it cannot write.
            nodes.kill(victim)
            nodes.add()

    stage.later(drawn["seconds"], end)
    where = {"both": "temporary folder and /dev/shm"}.get(drawn["where"], drawn["where"])
    told = f"{where} of node {victim.node_id[:8]} full, {drawn['seconds']:.0f} s"
    return told, {"lasts_s": drawn["seconds"]}

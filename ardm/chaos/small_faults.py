"""Faults of a process and its files, of the store, of a node's clock and of its disk space."""

import os
import random
import signal
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ardm.chaos import machine
from ardm.chaos.schedule import PlannedFault
from ardm.chaos.storage_faults import Fault
from ardm.chaos.targets import NoTarget, Targets, pick_node
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
"""The signals that process managers, closing terminals and shells send."""

BETWEEN_SIGNALS_S = 0.02
"""Time between two signals to the same process (seconds)."""

STRAY = ("._{}", "{} (1)", "{}~", "{}.sync-conflict", "desktop.ini")
"""Names of the files that copying tools leave beside a file `{}`."""


def send(process: BaseProcess, signals: tuple[signal.Signals, ...]) -> None:
    """Send signals in quick succession to a process that may have ended."""
    for number in signals:
        if process.pid and process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
            time.sleep(BETWEEN_SIGNALS_S)


def tear(run: Run, kept: Entry, rng: random.Random) -> list[str]:
    """Damage some files of a run, as power cuts, full disks and copying tools do.

    Args:
        run: the run, in a local directory; no process may write to it meanwhile.
        kept: a checkpoint whose files are not damaged.
        rng: random generator that chooses the files and the damage.

    Returns:
        One line for each damaged file.
    """
    root = Path(run.store.path(run.name))
    kept_path = Path(run.store.path(kept.checkpoint.name))
    files = sorted(p for p in root.rglob("*") if p.is_file() and kept_path not in p.parents)
    damage = []
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
        damage.append(f"{path.relative_to(root)} {how}")
    return damage


def flip_a_byte(run: Run, entry: Entry, rng: random.Random) -> str:
    """Flip a bit in the arrays of a checkpoint in a local directory; return a description."""
    name = max(entry.files, key=lambda file: entry.files[file])
    path = Path(run.store.path(f"{entry.checkpoint.name}/{name}"))
    data = bytearray(path.read_bytes())
    # The middle of the largest file holds array data, whatever the file format.
    at = rng.randrange(len(data) // 4, 3 * len(data) // 4)
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"byte {at} of {name} of step {entry.checkpoint.step}"


def storage(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    """Let the store answer with errors, slowly or not at all for a while."""
    details = planned.details
    fault = Fault(details["what"], details["share"], details["seconds"], details["delay"])
    targets.proxy.inject(fault)
    share = "" if fault.share == 1.0 else f" for {fault.share:.0%} of requests"
    return f"store: {fault.kind}{share}, {fault.seconds:.0f} s", {"lasts_s": fault.seconds}


def route(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    """Refuse the requests of one client library for a while."""
    details = planned.details
    fault = Fault(details["what"], seconds=details["seconds"], client=details["client"])
    targets.proxy.inject(fault)
    effect = "cut off" if fault.kind == "cut" else f"answered with {fault.kind}"
    clients = "libraries other than gcsfs" if fault.client == "others" else fault.client
    description = f"store: requests of {clients} {effect}, {fault.seconds:.0f} s"
    return description, {"lasts_s": fault.seconds}


def slow(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    """Delay every answer of the store for a while."""
    fault = Fault("slow", seconds=planned.details["seconds"], delay=planned.details["delay"])
    targets.proxy.inject(fault)
    description = f"store: answers {fault.delay * 1000:.0f} ms late, {fault.seconds:.0f} s"
    return description, {"lasts_s": fault.seconds}


def clock(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    """Step the clock of a worker's node, and step it back later."""
    nodes, details = targets.nodes, planned.details
    victim = pick_node(nodes, planned)
    number = nodes.number(victim)
    nodes.machine.step(number, details["step_s"])
    targets.later(details["seconds"], lambda: nodes.machine.step(number, 0.0))
    node, seconds = victim.node_id[:8], details["seconds"]
    description = f"clock of node {node} stepped by {details['step_s']:+.0f} s"
    # The processes of the node read the offset of their clock once per second.
    return f"{description}, back in {seconds:.0f} s", {"lasts_s": seconds + 2.0}


def full(targets: Targets, planned: PlannedFault) -> tuple[str, dict[str, Any]]:
    """Fill the temporary folder, or `/dev/shm`, of a worker's node for a while."""
    nodes, details = targets.nodes, planned.details
    victim = pick_node(nodes, planned)
    temporary = nodes.machine.temporary(nodes.number(victim))
    directories: dict[str, list[Path]] = {
        "temporary folder": [temporary],
        "/dev/shm": [machine.SHARED_MEMORY],
    }
    filled = directories.get(details["where"], [temporary, machine.SHARED_MEMORY])
    try:
        for directory in filled:
            machine.fill(victim.pid, directory)
    except OSError as error:
        raise NoTarget(str(error)) from error

    def end() -> None:
        for directory in filled:
            machine.free(victim.pid, directory)
        if victim in nodes.nodes and not victim.alive():
            # Ray ends a node if it cannot write to its shared memory.
            nodes.kill(victim)
            nodes.add()

    targets.later(details["seconds"], end)
    where = {"both": "temporary folder and /dev/shm"}.get(details["where"], details["where"])
    description = f"{where} of node {victim.node_id[:8]} full, {details['seconds']:.0f} s"
    return description, {"lasts_s": details["seconds"]}

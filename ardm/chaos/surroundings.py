"""Faults of what is around the workers: the store, the clock, temporary space."""

from pathlib import Path
from typing import Any

from ardm.chaos import machine
from ardm.chaos.schedule import Planned
from ardm.chaos.stage import NoVictim, Stage, pick_node
from ardm.chaos.storage_faults import Fault


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

"""Draws the faults of a chaos run: a pure function of a seed, so that the run can be repeated."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = {
    "worker": "SIGKILL of a worker's process",
    "node": "SIGKILL of a node: its raylet and all its workers; a new node is added later",
    "controller": "SIGKILL of Ray Train's controller",
    "driver": "SIGKILL of the job's driver",
    "head": "SIGKILL of the head and of all nodes; a new cluster is started",
    "drain": "Ray drains a worker's node, as at a preemption notice; it is killed at the deadline",
    "freeze": "SIGSTOP of a worker's process, SIGCONT later",
    "damage": "a file of the newest checkpoint is damaged, then a worker is killed",
    "storage": "the store answers wrongly, slowly or not at all for a while",
    "torn": "a small file of the run directory is torn or copied, then a worker is killed",
    "route": "the store refuses the requests of one client library for a while",
    "slow": "every answer of the store is delayed by 40 ms or 1 s for a while",
    "clock": "the clock of a worker's node is stepped, and stepped back later",
    "signals": "SIGHUP, or two SIGTERMs 20 ms apart, to a worker or to the job's driver",
    "full": "the temporary folder or /dev/shm of a worker's node is full for a while",
}
"""What a fault of each kind does."""

DAMAGES = ("truncate", "flip", "remove")
STORAGE = ("429", "500", "503", "slow", "cut", "outage")
TORN = ("claim", "segment", "progress", "summary", "spec", "submission")
TEARS = ("empty", "truncate", "copy", "shadow")
CLIENTS = ("gcsfs", "others")
REFUSALS = ("cut", "403")
SLOW = (0.04, 1.0)
"""Delays of the answers of a slow store (seconds)."""
STEPS = (-3600.0, -30.0, 30.0, 3600.0)
"""Offsets by which a clock is stepped (seconds)."""
SIGNALS = ("SIGHUP", "SIGTERM twice")
FULL = ("temporary folder", "/dev/shm", "both")

FIRST = 10.0
"""No fault is injected in the first seconds of training (seconds)."""


@dataclass(frozen=True)
class PlannedFault:
    """A fault that is to be injected.

    Attributes:
        time: seconds from the first trained step to the fault.
        kind: the kind of fault, a key of `KINDS`.
        pick: a random number in [0, 1) that selects one of the possible targets.
        details: the random parameters of the fault; which there are depends on its kind.
    """

    time: float
    kind: str
    pick: float
    details: dict[str, Any]


def schedule(
    seed: int, seconds: float, kinds: Sequence[str] = tuple(KINDS), every: float = 45.0
) -> list[PlannedFault]:
    """Draw the faults of a run.

    Each kind is drawn once, in random order, before any kind is drawn again.

    Args:
        seed: seed of the random generator.
        seconds: all faults begin within this time after the first trained step (seconds).
        kinds: the kinds of faults to draw from.
        every: mean time between two faults (seconds); each gap is 0.6 to 1.4 times as long.

    Returns:
        The faults in order of time.
    """
    draw = random.Random(f"ardm chaos {seed}")
    planned: list[PlannedFault] = []
    moments = _moments(draw, seconds, every)
    bag: list[str] = []
    for moment in moments:
        if not bag:
            bag = list(kinds)
            draw.shuffle(bag)
        kind = bag.pop()
        planned.append(PlannedFault(moment, kind, draw.random(), _details(draw, kind)))
    return planned


def _moments(draw: random.Random, seconds: float, every: float) -> Iterator[float]:
    moment = FIRST + draw.uniform(0.0, 0.4 * every)
    while moment < seconds:
        yield round(moment, 1)
        moment += every * draw.uniform(0.6, 1.4)


def _details(draw: random.Random, kind: str) -> dict[str, Any]:
    match kind:
        case "node":
            return {"absent_s": round(draw.uniform(2.0, 15.0), 1)}
        case "drain":
            return {"deadline_s": 25.0}
        case "freeze":
            return {"seconds": round(draw.uniform(5.0, 20.0), 1)}
        case "damage":
            return {"how": draw.choice(DAMAGES)}
        case "storage":
            what = draw.choice(STORAGE)
            whole = what in ("outage", "slow")
            return {
                "what": what,
                "share": 1.0 if whole else round(draw.uniform(0.3, 1.0), 2),
                "seconds": round(draw.uniform(15.0, 60.0), 1),
                "delay": round(draw.uniform(0.2, 2.0), 2),
            }
        case "torn":
            return {"files": draw.sample(TORN, len(TORN)), "how": draw.choice(TEARS)}
        case "route":
            return {
                "client": draw.choice(CLIENTS),
                "what": draw.choice(REFUSALS),
                "seconds": round(draw.uniform(15.0, 60.0), 1),
            }
        case "slow":
            return {"delay": draw.choice(SLOW), "seconds": round(draw.uniform(15.0, 60.0), 1)}
        case "clock":
            return {"step_s": draw.choice(STEPS), "seconds": round(draw.uniform(10.0, 30.0), 1)}
        case "signals":
            return {"signal": draw.choice(SIGNALS), "to": draw.choice(("driver", "worker"))}
        case "full":
            return {"where": draw.choice(FULL), "seconds": round(draw.uniform(15.0, 40.0), 1)}
    return {}

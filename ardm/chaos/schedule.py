"""Which fault comes when: a pure function of a seed, so that a run among faults can be repeated."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = {
    "worker": "SIGKILL of a worker's process",
    "node": "SIGKILL of a node: its raylet and all its workers; a new node comes later",
    "controller": "SIGKILL of Ray Train's controller",
    "driver": "SIGKILL of the job's driver",
    "head": "SIGKILL of the head and of all nodes; a new cluster is started",
    "drain": "a notice: Ray drains a worker's node, which is gone at the deadline",
    "freeze": "SIGSTOP of a worker, SIGCONT later",
    "damage": "a file of the newest checkpoint is damaged, then a worker is killed",
    "storage": "the store answers wrongly, slowly or not at all for a while",
    "torn": "a small file of the run directory is torn or copied, and a worker killed",
    "route": "the store refuses the requests of one client library for a while",
    "slow": "every answer of the store takes 40 ms or 1 s longer for a while",
    "clock": "the clock of a worker's node is stepped, and back later",
    "signals": "SIGHUP, or two SIGTERMs 20 ms apart, to a worker or to the job's driver",
    "full": "the temporary folder or /dev/shm of a worker's node is full for a while",
}
"""Kinds of faults, and what each does."""

DAMAGES = ("truncate", "flip", "remove")
STORAGE = ("429", "500", "503", "slow", "cut", "outage")
TORN = ("claim", "segment", "progress", "summary", "spec", "submission")
TEARS = ("empty", "truncate", "copy", "shadow")
CLIENTS = ("gcsfs", "others")
REFUSALS = ("cut", "403")
SLOW = (0.04, 1.0)
"""Seconds by which an answer of a slow store is late."""
STEPS = (-3600.0, -30.0, 30.0, 3600.0)
"""Seconds by which a clock is stepped."""
SIGNALS = ("SIGHUP", "SIGTERM twice")
FULL = ("temporary folder", "/dev/shm", "both")

FIRST = 10.0
"""Seconds of undisturbed training before the first fault, at least."""


@dataclass(frozen=True)
class Planned:
    """A fault to come.

    Attributes:
        time: seconds from the first trained step.
        kind: one of `KINDS`.
        pick: in [0, 1): which of the possible victims.
        details: what else was drawn for it.
    """

    time: float
    kind: str
    pick: float
    details: dict[str, Any]


def schedule(
    seed: int, seconds: float, kinds: Sequence[str] = tuple(KINDS), every: float = 45.0
) -> list[Planned]:
    """Draw the faults of a run.

    Every kind comes once, in random order, before any comes again.

    Args:
        seed: of all that is drawn.
        seconds: in which faults may begin.
        kinds: of faults to choose from.
        every: mean seconds from one fault to the next; each gap is 0.6 to 1.4 times as long.

    Returns:
        The faults in order of time.
    """
    draw = random.Random(f"ardm chaos {seed}")
    planned: list[Planned] = []
    moments = _moments(draw, seconds, every)
    bag: list[str] = []
    for moment in moments:
        if not bag:
            bag = list(kinds)
            draw.shuffle(bag)
        kind = bag.pop()
        planned.append(Planned(moment, kind, draw.random(), _details(draw, kind)))
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

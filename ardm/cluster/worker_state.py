"""What others leave for the worker of this process.

Ray Train calls the setup of a worker process, its joining of the group, each notice and the
training as functions of their own, on several threads. One object of the process connects them.
"""

from dataclasses import dataclass, field
from functools import cache

from ardm.runner.context import HeadStart, Notice


@dataclass
class WorkerState:
    """State of one worker process.

    Attributes:
        drain: notice that a machine of the group goes away; the controller gives it.
        resize: notice that there is room for a larger group; the controller gives it.
        nodes: ids of the nodes of the group, by rank; set where the group is joined.
        head_start: what this process has prepared while it was a spare.
    """

    drain: Notice = field(default_factory=Notice)
    resize: Notice = field(default_factory=Notice)
    nodes: list[str] = field(default_factory=list)
    head_start: HeadStart = field(default_factory=HeadStart)


@cache
def this_worker() -> WorkerState:
    """The state of this process."""
    return WorkerState()

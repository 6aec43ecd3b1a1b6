"""The state that the functions of one worker process share.

Ray Train calls the setup of a worker process, the joining of its group, each notice and the
training as separate functions, on several threads. They share one object of the process.
"""

from dataclasses import dataclass, field
from functools import cache

from ardm.runner.context import HeadStart, Notice


@dataclass
class WorkerState:
    """State of one worker process.

    Attributes:
        drain: notice from the controller that a machine of the group will be taken away.
        resize: notice from the controller that there is room for a larger group.
        nodes: node ids of the group's workers, by rank; set when the worker joins the group.
        head_start: programs that this process has loaded while it was a spare.
    """

    drain: Notice = field(default_factory=Notice)
    resize: Notice = field(default_factory=Notice)
    nodes: list[str] = field(default_factory=list)
    head_start: HeadStart = field(default_factory=HeadStart)


@cache
def this_worker() -> WorkerState:
    """The state of this process."""
    return WorkerState()

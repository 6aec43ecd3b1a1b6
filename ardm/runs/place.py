"""Where an attempt runs, and what can make it end before its work is done."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # JAX takes seconds to import, and those who only give notice do not need it
    from ardm.training.group import Group

NOTHING, RESIZE, STOP, PREEMPT, SUPERSEDED = range(5)
"""Flags that a worker can raise; the largest one counts."""


class Warned(Protocol):
    """Says whether to save and end, because the machine goes away."""

    @property
    def reason(self) -> str | None:
        """Why; None as long as there is no reason to."""
        ...


@dataclass
class Notice:
    """Set by whoever has a reason, such as a signal handler."""

    reason: str | None = None


@dataclass(frozen=True)
class Place:
    """Where an attempt runs.

    Attributes:
        group: the workers.
        notice: that the machine goes away; looked at once per step.
        about: put into the claim, beside what every claim holds.
        resize: that the group is to go on with another number of workers.
        gone: whether any of some machines, which a claim names as `nodes`, is no longer there.
    """

    group: "Group"
    notice: Warned
    about: Mapping[str, Any] = field(default_factory=dict)
    resize: Notice = field(default_factory=Notice)
    gone: Callable[[Collection[str]], bool] = lambda nodes: False

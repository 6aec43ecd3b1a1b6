"""Where an attempt runs, and what can make it end before its work is done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ardm.training.group import Group

NOTHING, STOP, PREEMPT, SUPERSEDED = range(4)
"""Flags that a worker can raise; the largest one counts."""


class Warned(Protocol):
    """Says whether to save and end, because the machine goes away."""

    @property
    def reason(self) -> str | None:
        """Why; None as long as there is no reason to."""
        ...


@dataclass
class Notice:
    """Set from a signal handler."""

    reason: str | None = None


@dataclass(frozen=True)
class Place:
    """Where an attempt runs.

    Attributes:
        group: the workers.
        notice: looked at once per step.
        about: put into the claim, beside what every claim holds.
    """

    group: Group
    notice: Warned
    about: Mapping[str, Any] = field(default_factory=dict)

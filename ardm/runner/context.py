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
class StepRecord:
    """A finished training step.

    Attributes:
        step: steps finished in all.
        total_steps: of the job.
        train_nelbo_bpd: the NELBO of its batch, in bits per dimension.
        grad_norm: the global norm of its gradient.
        steps_per_s: the rate of late; None after the first steps.
    """

    step: int
    total_steps: int
    train_nelbo_bpd: float
    grad_norm: float
    steps_per_s: float | None


@dataclass(frozen=True)
class Context:
    """Where an attempt runs.

    Attributes:
        group: the workers.
        notice: that the machine goes away; looked at once per step.
        about: put into the claim, beside what every claim holds.
        resize: that the group is to go on with another number of workers.
        gone: whether any of some machines, which a claim names as `nodes`, is no longer there.
        on_step: called by rank 0 after every step.
    """

    group: "Group"
    notice: Warned
    about: Mapping[str, Any] = field(default_factory=dict)
    resize: Notice = field(default_factory=Notice)
    gone: Callable[[Collection[str]], bool] = lambda nodes: False
    on_step: Callable[[StepRecord], None] | None = None

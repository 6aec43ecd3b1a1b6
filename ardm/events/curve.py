"""The loss curve of a run over all its attempts, without what a later attempt did again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypeVar

from ardm.events import kinds
from ardm.events.events import Event

T = TypeVar("T")

Point = tuple[float, float]
"""Bits/dim and their standard error."""

POINTS = 1000
"""Points that are left after thinning, which begins at twice as many."""


@dataclass
class Curve:
    """Points of the loss curve by step."""

    train: dict[int, float] = field(default_factory=dict)
    """Bits/dim, means over a few seconds of steps or, in a long run, over more."""
    test: dict[int, Point] = field(default_factory=dict)
    """Of the EMA on test images: at the end of a job, and all along in runs of earlier versions."""
    valid: dict[int, Point] = field(default_factory=dict)
    """Of the EMA on validation images."""

    def copy(self) -> "Curve":
        return Curve(dict(self.train), dict(self.test), dict(self.valid))

    def rewind(self, step: int) -> None:
        """Forget what came after a step that training goes on from."""
        self.train = {s: v for s, v in self.train.items() if s <= step}
        self.valid = {s: v for s, v in self.valid.items() if s <= step}
        self.test = {s: v for s, v in self.test.items() if s <= step}

    def add(self, event: Event) -> None:
        """Take in the next event; one without its figures changes nothing."""
        match event:
            case kinds.Started() | kinds.Restored():
                self.rewind(event.step)
            case kinds.Trained(nelbo_bpd=float(bpd)):
                self.train[event.step] = bpd
            case kinds.Evaluated(nelbo_bpd=float(bpd), se_bpd=float(se)):
                points = self.valid if event.split == "valid" else self.test
                points[event.step] = (bpd, se)
        self._thin()

    def follow(self, later: "Curve", first_step: int | None) -> None:
        """Go on with the curve of the next attempt.

        Args:
            later: its curve.
            first_step: that it began with; None if it never came so far.
        """
        if first_step is not None:
            self.rewind(first_step)
        self.train |= later.train
        self.valid |= later.valid
        self.test |= later.test
        self._thin()

    def _thin(self) -> None:
        if len(self.train) > 2 * POINTS:
            self.train = _thinned(self.train, fmean)
        if len(self.valid) > 2 * POINTS:
            self.valid = _thinned(self.valid, lambda values: values[-1])
        if len(self.test) > 2 * POINTS:
            self.test = _thinned(self.test, lambda values: values[-1])


def _thinned(points: dict[int, T], one: Callable[[list[T]], T]) -> dict[int, T]:
    """One point for each of `POINTS` equal spans of steps, at the last step in the span."""
    width = max(points) / POINTS
    spans: dict[int, list[int]] = {}
    for step in sorted(points):
        spans.setdefault(int(step / width), []).append(step)
    return {steps[-1]: one([points[s] for s in steps]) for steps in spans.values()}

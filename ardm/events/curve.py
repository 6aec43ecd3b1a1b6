"""The loss curve of a run over all its attempts; of a step done twice, the later one counts."""

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
"""Number of points that thinning keeps. A curve is thinned once it has twice as many."""


@dataclass
class Curve:
    """Points of the loss curve by step."""

    train: dict[int, float] = field(default_factory=dict)
    """Training loss in bits/dim, each the mean over some seconds of steps (more in a long run)."""
    test: dict[int, Point] = field(default_factory=dict)
    """EMA on test images, at the end of a job; runs of earlier versions have it throughout."""
    valid: dict[int, Point] = field(default_factory=dict)
    """EMA on validation images."""

    def copy(self) -> "Curve":
        return Curve(dict(self.train), dict(self.test), dict(self.valid))

    def rewind(self, step: int) -> None:
        """Drop the points after a step from which training continues."""
        self.train = {s: v for s, v in self.train.items() if s <= step}
        self.valid = {s: v for s, v in self.valid.items() if s <= step}
        self.test = {s: v for s, v in self.test.items() if s <= step}

    def newest(self, step: int) -> dict[str, tuple[int, float, float]]:
        """For each split its newest evaluation up to a step: step, bits/dim and standard error."""
        splits = {"valid": self.valid, "test": self.test}
        upto = {name: [s for s in points if s <= step] for name, points in splits.items()}
        return {
            name: (max(steps), *splits[name][max(steps)]) for name, steps in upto.items() if steps
        }

    def add(self, event: Event) -> None:
        """Add the next event; an evaluation without a finite result changes nothing."""
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
        """Append the curve of the next attempt.

        Args:
            later: the curve of the next attempt.
            first_step: the step that it began with; None if it ended before it restored a state.
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


def _thinned(points: dict[int, T], combine: Callable[[list[T]], T]) -> dict[int, T]:
    """One point for each of `POINTS` spans of steps of equal length, at the span's last step."""
    width = max(points) / POINTS
    spans: dict[int, list[int]] = {}
    for step in sorted(points):
        spans.setdefault(int(step / width), []).append(step)
    return {steps[-1]: combine([points[s] for s in steps]) for steps in spans.values()}

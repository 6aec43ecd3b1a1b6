"""The pace of an attempt: steps per second, remaining time and mean loss of recent steps."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

WINDOW, WINDOW_SHARE = 10.0, 1 / 500
"""Time between two points of the loss curve: so many seconds, or this share of the attempt's age if
that is more. So 30 days make some thousand points, not a quarter of a million."""


class Pace:
    """Counts steps and the seconds spent on them, without those of evaluations.

    Args:
        total_steps: the number of steps of the run.
        clock: returns monotonic seconds.
    """

    def __init__(self, total_steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total_steps, clock
        self._step = 0
        self._recent: deque[tuple[float, float]] = deque(maxlen=50)
        """Seconds and bits/dim of each of the last steps."""
        self._points: list[float] = []
        self._begin = self._mark = clock()
        self._window_start: float | None = None
        self._window_step = 0
        self.step_s: float | None = None
        """Seconds of the last step; None after the first, which compiles."""

    def step(self, number: int, nelbo_bpd: float) -> float:
        """Add a finished step; returns its NELBO, which is left out of means if not finite."""
        now = self._clock()
        if self._window_start is None:
            # The first step compiles: its seconds would spoil the rate.
            self._window_start, self._window_step = now, number
        else:
            self.step_s = now - self._mark
            self._recent.append((self.step_s, nelbo_bpd))
        self._points.append(nelbo_bpd)
        self._mark, self._step = now, number
        return nelbo_bpd

    def window(self) -> dict[str, Any] | None:
        """Mean NELBO and rate since the last window; None until the window is over.

        The mean is None if no step of the window had a finite NELBO.
        """
        start = self._window_start
        length = max(WINDOW, (self._mark - self._begin) * WINDOW_SHARE)
        if start is None or self._mark - start < length:
            return None
        rate = (self._step - self._window_step) / (self._mark - start)
        mean = _mean(self._points)
        self._points, self._window_start, self._window_step = [], self._mark, self._step
        return {"nelbo_bpd": _rounded(mean, 6), "steps_per_s": round(rate, 4)}

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out of every rate."""
        begin = self._clock()
        yield
        pause = self._clock() - begin
        self._mark += pause
        if self._window_start is not None:
            self._window_start += pause

    def now(self) -> dict[str, Any]:
        """Rate, remaining seconds and mean NELBO of the recent steps; None before any."""
        recent = list(self._recent)
        seconds = sum(item[0] for item in recent)
        if not recent or seconds <= 0:
            return {"steps_per_s": None, "eta_s": None, "train_nelbo_bpd": None}
        rate = len(recent) / seconds
        return {
            "steps_per_s": round(rate, 4),
            "eta_s": round((self._total - self._step) / rate, 1),
            "train_nelbo_bpd": _rounded(_mean([item[1] for item in recent]), 5),
        }


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)

"""How long a save holds up the training that it runs beside."""

from collections import deque
from statistics import median

RECENT = 50
"""Undisturbed steps whose median says what a step takes."""

ENOUGH = 3
"""Undisturbed steps before which nothing is concluded."""


class Stalls:
    """Compares the steps beside a save with the others.

    A save is `begun` between two steps; from then on each step is told by `step`, until one says
    that the save was over when the step ended.
    """

    def __init__(self) -> None:
        self._calm: deque[float] = deque(maxlen=RECENT)
        self._beside: list[float] = []
        self._busy = False

    def begun(self) -> None:
        """A save begins, before the next step."""
        self._busy, self._beside = True, []

    def step(self, seconds: float, *, saving: bool) -> float | None:
        """Take in a step.

        Args:
            seconds: from the end of the step before to its own end.
            saving: whether a save was still under way at its end.

        Returns:
            After the last step beside a save, the seconds by which the steps beside it were longer
            than ordinary ones; else None, and None where too few ordinary steps are known.
        """
        if not self._busy:
            self._calm.append(seconds)
            return None
        self._beside.append(seconds)
        if saving:
            return None
        self._busy = False
        if len(self._calm) < ENOUGH:
            return None
        return max(sum(self._beside) - len(self._beside) * median(self._calm), 0.0)

"""Measures by how much a save in the background slows the training down."""

from collections import deque
from statistics import median

RECENT = 50
"""The number of undisturbed steps whose median is the ordinary duration of a step."""

ENOUGH = 3
"""The number of undisturbed steps that must be known before a stall is computed."""


class Stalls:
    """Compares the steps during a save with the others.

    Call `begun` when a save begins, which is between two steps, and `step` after every step. The
    stall is known after the first step at whose end the save was over.
    """

    def __init__(self) -> None:
        self._undisturbed: deque[float] = deque(maxlen=RECENT)
        self._during_save: list[float] = []
        self._busy = False

    def begun(self) -> None:
        """Report that a save begins, before the next step."""
        self._busy, self._during_save = True, []

    def step(self, seconds: float, *, saving: bool) -> float | None:
        """Report a finished step.

        Args:
            seconds: seconds from the end of the previous step to the end of this one.
            saving: whether the save was still under way at the end of this step.

        Returns:
            After the last step during a save: the seconds by which the steps during it were longer
            than ordinary ones, or None if too few ordinary steps are known. After any other step:
            None.
        """
        if not self._busy:
            self._undisturbed.append(seconds)
            return None
        self._during_save.append(seconds)
        if saving:
            return None
        self._busy = False
        if len(self._undisturbed) < ENOUGH:
            return None
        return max(sum(self._during_save) - len(self._during_save) * median(self._undisturbed), 0.0)

"""A time of their own for tests, in which nobody waits."""


class Clock:
    """Seconds that pass when somebody sleeps, or when a test adds to them.

    Args:
        now: seconds at the beginning.
        tick: seconds that pass at every look.
    """

    def __init__(self, now: float = 0.0, tick: float = 0.0) -> None:
        self.now, self._tick = now, tick
        self.slept: list[float] = []

    def __call__(self) -> float:
        self.now += self._tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

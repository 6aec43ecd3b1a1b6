"""A saver in a time of its own."""

from ardm.checkpoint import checkpoints
from ardm.checkpoint.checkpointer import Checkpointer
from ardm.events.event_log import EventLog
from ardm.events.kinds import E
from ardm.job.config import CheckpointConfig
from ardm.store import claims
from ardm.store.retry import Deadline
from tests.runner.setting import events, small_state


class Clock:
    """Monotonic seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Scene:
    """A saver of a run's newest attempt, its events and its clock."""

    def __init__(self, run, restored: int = 0, **config) -> None:
        self.run, self.clock = run, Clock()
        self.number = claims.claim(run, {})
        self.event_log = EventLog(run, self.number)
        self.config = CheckpointConfig(**{"interval": 10.0, "keep_last": 2} | config)
        self.saver = Checkpointer(
            run, self.number, self.config, self.event_log, restored, self.clock, self.clock.sleep
        )

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, self.clock)

    def offer(self, step: int, after: float = 0.0) -> bool:
        """Offer a step so many seconds later; whether it is saved, once that is over."""
        self.clock.now += after
        self.saver.offer(step, small_state(step))
        self.saver.wait(30)
        return self.saver.saved_step == step

    def events(self, kind: type[E]) -> list[E]:
        self.event_log.flush()
        return events(self.run, self.number, kind)

    def steps(self):
        return sorted(place.step for place in checkpoints.committed(self.run))

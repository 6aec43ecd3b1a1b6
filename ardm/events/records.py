"""The record of one attempt: the sum of its events, which stays within some kilobytes."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ardm.events import kinds
from ardm.events.events import Event, Outcome, number, whole

KEPT = 100
"""The newest saves, stalls and evaluations, as many as this, are kept one by one; earlier ones are
added up."""

KEPT_SKIPPED = 1000
"""The newest skipped steps, as many as this, are kept one by one: a later attempt may skip some of
them again, and each step is counted once."""


class Save(NamedTuple):
    """A committed checkpoint."""

    step: int
    seconds: float
    """Seconds from the beginning of the save to its commit."""
    bytes: int
    interval_s: float | None
    """Planned seconds from the beginning of this save to that of the next."""


class Evaluation(NamedTuple):
    """An evaluation, including the drawing of its pictures."""

    step: int
    seconds: float


@dataclass(frozen=True)
class RateChange:
    """A jump of the learning rate."""

    step: int
    """The step after which the new rate holds."""
    old: float | None
    new: float | None


@dataclass
class Older:
    """Sums of the saves, stalls and evaluations that are no longer kept one by one."""

    saves: int = 0
    save_bytes: int = 0
    longest_save_s: float = 0.0
    longest_interval_s: float = 0.0
    stalls_s: float = 0.0
    evaluations_s: float = 0.0
    skipped: int = 0


@dataclass
class AttemptRecord:
    """What the store holds on one attempt. Times are seconds since 1970; steps are finished."""

    attempt: int
    outcome: Outcome | None
    """None while it lives, or if it recorded no end and no attempt has followed."""
    reason: str
    workers: int
    first_step: int | None
    """Step of the state that it began with."""
    last_step: int | None
    steps_lost: int
    """Steps that a later attempt had to do again."""
    started: float
    """When it claimed the run."""
    ended: float | None
    began: float = 0.0
    """When its process began to work on the run, before it loaded the data and claimed the run."""
    submission: str | None = None
    submitted: float | None = None
    """When its job was submitted, if that is known."""
    trains_from: float | None = None
    """When its first step began; None if it finished no step."""
    first_step_s: float = 0.0
    compile_s: float = 0.0
    restore_s: float = 0.0
    evaluations: list[Evaluation] = field(default_factory=list)
    """The newest evaluations; sums of earlier ones, of saves and of stalls are in `older`."""
    saves: list[Save] = field(default_factory=list)
    saves_failed: int = 0
    stalls: list[float] = field(default_factory=list)
    """Seconds by which each save slowed the training down."""
    final_save_s: float = 0.0
    """Seconds for which the attempt waited at its end for the last save."""
    last_seen: float = 0.0
    """Time of its last sign of life."""
    beat_s: float = 0.0
    """Seconds between its heartbeats, as its progress object says."""
    silent: bool = False
    """Whether it recorded no end, as when killed; it may have done more steps than it reported."""
    undated: bool = False
    """Whether its times are unknown: its claim cannot be read, and it has no events."""
    claim: dict[str, Any] = field(default_factory=dict)
    """The content of its claim, without the spec; empty if the claim cannot be read."""
    skipped: list[int] = field(default_factory=list)
    """Steps that it skipped because they were not finite."""
    data: str | None = None
    """`Dataset.sha256` of the data that it trained on."""
    workers_differ: list[str] = field(default_factory=list)
    """Differences among its workers in what the bits depend on, one line each."""
    rate_change: RateChange | None = None
    """The jump of the learning rate where this attempt began, if it jumped."""
    noticed: bool = False
    """Whether it got a preemption notice."""
    worker_failed: kinds.WorkerFailed | None = None
    """How a worker other than rank 0 failed, if one did."""
    evaluated: kinds.Evaluated | None = None
    """The newest evaluation on test images."""
    validated: kinds.Evaluated | None = None
    """The newest evaluation on validation images."""
    older: Older = field(default_factory=Older)

    @property
    def save_count(self) -> int:
        return self.older.saves + len(self.saves)

    @property
    def save_bytes(self) -> int:
        """Bytes of all saves together."""
        return self.older.save_bytes + sum(save.bytes for save in self.saves)

    @property
    def longest_save_s(self) -> float:
        return max([self.older.longest_save_s, *(save.seconds for save in self.saves)])

    @property
    def longest_interval_s(self) -> float:
        known = [save.interval_s for save in self.saves if save.interval_s is not None]
        return max([self.older.longest_interval_s, *known])

    @property
    def stalls_s(self) -> float:
        return self.older.stalls_s + sum(self.stalls)

    @property
    def evaluations_s(self) -> float:
        return self.older.evaluations_s + sum(e.seconds for e in self.evaluations)

    def take_claim(self, claim: dict[str, Any]) -> None:
        """Add the content of the claim; a field that is missing or invalid gets its default."""
        self.claim = {key: value for key, value in claim.items() if key != "spec"}
        self.workers = max(whole(claim, "workers") or 1, 1)
        time, began = number(claim, "time"), number(claim, "began")
        if time is not None:
            self.started, self.undated = time, False
            self.began = time if began is None else min(began, time)
            self.last_seen = max(self.last_seen, time)
        submission = claim.get("submission")
        self.submission = submission if isinstance(submission, str) else None
        self.submitted = number(claim, "submitted")

    def take_progress(self, progress: dict[str, Any]) -> None:
        """Add the progress object of the attempt."""
        time = number(progress, "time")
        if time is not None:
            self._seen(time)
        self.beat_s = number(progress, "beat_s") or 0.0
        step = whole(progress, "step")
        if self.outcome is None and step is not None:
            self._reached(step)

    def take(self, event: Event) -> None:
        """Add the next event."""
        self._seen(event.time)
        match event:
            case kinds.Claimed() if not self.claim:
                self.take_claim(event.claim)
            case kinds.Started() | kinds.Restored():
                self.first_step, self.restore_s = event.step, event.seconds
                self.data = event.data_sha256
                self._reached(event.step)
            case kinds.FirstStep():
                self.first_step_s, self.compile_s = event.seconds, event.compile_s
                self.trains_from = max(event.time - event.seconds, self.began)
            case kinds.Evaluated():
                self._evaluated(event)
            case kinds.Saved():
                self._saved(Save(event.step, event.seconds, event.bytes, event.interval))
            case kinds.SkippedStep():
                self.skipped.append(event.step)
                if len(self.skipped) > KEPT_SKIPPED:
                    self.skipped.pop(0)
                    self.older.skipped += 1
            case kinds.LearningRate():
                self.rate_change = RateChange(event.step, event.old, event.new)
            case kinds.WorkersDiffer():
                self.workers_differ = event.differences
            case kinds.SaveFailed():
                self.saves_failed += 1
            case kinds.Stalled():
                self._stalled(event.seconds)
            case kinds.FinalSave():
                self.final_save_s += event.seconds
            case kinds.Notice():
                self.noticed = True
            case kinds.WorkerFailed():
                self.worker_failed = event
            case kinds.Ended():
                self.outcome, self.ended, self.reason = event.outcome, event.time, event.reason
                self.last_step = event.step if event.step is not None else self.last_step

    def _seen(self, time: float) -> None:
        self.last_seen = max(self.last_seen, time)
        if self.undated:
            # Its first sign of life is the best guess of when it began.
            self.started, self.began, self.undated = time, time, False

    def _reached(self, step: int) -> None:
        self.last_step = max(step, self.last_step or 0)

    def _saved(self, save: Save) -> None:
        self._reached(save.step)
        self.saves.append(save)
        if len(self.saves) > KEPT:
            oldest, older = self.saves.pop(0), self.older
            older.saves += 1
            older.save_bytes += oldest.bytes
            older.longest_save_s = max(older.longest_save_s, oldest.seconds)
            older.longest_interval_s = max(older.longest_interval_s, oldest.interval_s or 0.0)

    def _stalled(self, seconds: float) -> None:
        self.stalls.append(seconds)
        if len(self.stalls) > KEPT:
            self.older.stalls_s += self.stalls.pop(0)

    def _evaluated(self, event: kinds.Evaluated) -> None:
        if "nelbo_bpd" in event.model_fields_set:
            if event.split == "valid":
                self.validated = event
            else:
                self.evaluated = event
        self.evaluations.append(Evaluation(event.step, event.seconds))
        if len(self.evaluations) > KEPT:
            self.older.evaluations_s += self.evaluations.pop(0).seconds


def unknown(attempt: int) -> AttemptRecord:
    """The record of an attempt about which nothing is known yet."""
    return AttemptRecord(attempt, None, "", 1, None, None, 0, 0.0, None, undated=True)

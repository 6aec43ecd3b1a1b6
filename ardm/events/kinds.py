"""The kinds of events, one class each, and the reader of what their writer left in the store.

The names of the kinds and of their fields are those in the store. A field that is odd gets its
default; an event that lacks what its kind needs is an `Other`.
"""

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, PlainValidator, ValidationError

from ardm.events.events import (
    Count,
    Event,
    Lines,
    Object,
    Outcome,
    Real,
    RealOrNone,
    Seconds,
    Text,
    TextOrNone,
    Whole,
    WholeOrNone,
    number,
)

E = TypeVar("E", bound=Event)


def _outcome(value: object) -> Outcome:
    if not isinstance(value, str):
        raise ValueError("expected a word")
    return Outcome(value)


def _outcome_or_failed(value: object) -> Outcome:
    return Outcome(value) if isinstance(value, str) else Outcome.FAILED


def _reason(value: object) -> str:
    return value if isinstance(value, str) else "unknown"


def _split(value: object) -> str:
    return value if isinstance(value, str) else "test"


class Claimed(Event):
    """Process 0 has claimed the run; the event holds all that the claim holds."""

    event: Literal["claimed"] = "claimed"

    @property
    def claim(self) -> dict[str, Any]:
        """The content of the claim."""
        return {"time": self.time} | (self.model_extra or {})


class Started(Event):
    """The attempt begins with a new state."""

    event: Literal["started"] = "started"
    step: Whole
    seconds: Seconds = 0.0
    """That the search for a checkpoint has taken."""
    data_sha256: TextOrNone = None
    data: Object = Field(default_factory=dict)
    """Name of the data set, sizes and origins of its splits, and what is left out of it."""


class Restored(Event):
    """The attempt begins with a checkpoint."""

    event: Literal["restored"] = "restored"
    step: Whole
    digest: Text = ""
    from_attempt: WholeOrNone = None
    seconds: Seconds = 0.0
    """That it took to find, read and verify it."""
    data_sha256: TextOrNone = None
    data: Object = Field(default_factory=dict)
    """As of `Started`."""


class Skipped(Event):
    """A checkpoint is passed over, which is damaged, unfinished or cannot be read."""

    event: Literal["skipped"] = "skipped"
    step: WholeOrNone = None
    from_attempt: WholeOrNone = None
    reason: Text = ""


class DataChanged(Event):
    """The run goes on with other data than before, as `--override` allows."""

    event: Literal["data_changed"] = "data_changed"
    step: WholeOrNone = None
    old: TextOrNone = None
    new: TextOrNone = None


class LearningRate(Event):
    """The learning rate jumps at the step with which the attempt begins."""

    event: Literal["learning_rate"] = "learning_rate"
    step: Whole
    old: RealOrNone = None
    new: RealOrNone = None


class WorkersDiffer(Event):
    """Workers differ in what bits depend on."""

    event: Literal["workers_differ"] = "workers_differ"
    differences: Lines = Field(default_factory=list)


class FirstStep(Event):
    """The first step of the attempt is done."""

    event: Literal["first_step"] = "first_step"
    step: WholeOrNone = None
    seconds: Real
    compile_s: Seconds = 0.0
    """Spent on compiling, some of it while the state was restored."""


class Trained(Event):
    """Mean training loss and rate of the steps since the last such event."""

    event: Literal["trained"] = "trained"
    step: Whole
    nelbo_bpd: RealOrNone = None
    """None where no step had a finite one."""
    steps_per_s: RealOrNone = None


class SkippedStep(Event):
    """A step is left out, because it was not finite."""

    event: Literal["skipped_step"] = "skipped_step"
    step: Whole
    reason: Text = ""


class Evaluated(Event):
    """The average of the parameters is evaluated on images of a split."""

    event: Literal["evaluated"] = "evaluated"
    step: Whole
    split: Annotated[str, PlainValidator(_split)] = "test"
    """Earlier versions had no other one, and did not name it."""
    nelbo_bpd: RealOrNone = None
    nelbo_nats: RealOrNone = None
    se_bpd: RealOrNone = None
    se_nats: RealOrNone = None
    images: WholeOrNone = None
    passes: WholeOrNone = None
    seconds: Seconds = 0.0


class Saved(Event):
    """A checkpoint is committed."""

    event: Literal["saved"] = "saved"
    step: Whole
    digest: Text = ""
    seconds: Seconds = 0.0
    """From its beginning to its commit."""
    bytes: Count = 0
    interval: RealOrNone = None
    """Seconds that are to pass until the next one."""


class SaveFailed(Event):
    """A save has failed, and is tried again."""

    event: Literal["save_failed"] = "save_failed"
    step: WholeOrNone = None
    reason: Text = ""


class Stalled(Event):
    """A save beside the training has held it up."""

    event: Literal["stalled"] = "stalled"
    step: WholeOrNone = None
    seconds: Real


class FinalSave(Event):
    """The end of the attempt has waited for its last save."""

    event: Literal["final_save"] = "final_save"
    step: WholeOrNone = None
    seconds: Seconds = 0.0


class Notice(Event):
    """There is a notice that the machine goes away."""

    event: Literal["notice"] = "notice"
    step: WholeOrNone = None
    reason: Text = ""


class WorkerFailed(Event):
    """A worker other than rank 0 has failed by an error of its own."""

    event: Literal["worker_failed"] = "worker_failed"
    rank: WholeOrNone = None
    outcome: Annotated[Outcome, PlainValidator(_outcome_or_failed)] = Outcome.FAILED
    step: Count = 0
    reason: Annotated[str, PlainValidator(_reason)] = "unknown"
    detail: Text = ""
    """The traceback of a programming error."""


class Ended(Event):
    """The attempt has ended in order."""

    event: Literal["ended"] = "ended"
    outcome: Annotated[Outcome, PlainValidator(_outcome)]
    step: WholeOrNone = None
    """The last step finished."""
    reason: Text = ""
    detail: Text = ""
    """The traceback of a programming error."""


class Other(Event):
    """An event of a later version, or one that lacks what its kind needs: a sign of life."""


_KINDS: tuple[type[Event], ...] = (
    Claimed, Started, Restored, Skipped, DataChanged, LearningRate, WorkersDiffer, FirstStep,
    Trained, SkippedStep, Evaluated, Saved, SaveFailed, Stalled, FinalSave, Notice, WorkerFailed,
    Ended,
)  # fmt: skip


def name(kind: type[Event]) -> str:
    """The name of a kind in the store, such as `saved`."""
    return str(kind.model_fields["event"].default)


KINDS = {name(kind): kind for kind in _KINDS}


def of_json(value: object) -> Event | None:
    """The event that a JSON value holds; None if it is none."""
    if not isinstance(value, dict) or number(value, "time") is None:
        return None
    kind = value.get("event")
    for one in (KINDS.get(kind, Other), Other) if isinstance(kind, str) else ():
        try:
            return one.model_validate(value)
        except ValidationError:
            continue
    return None


def parse(data: bytes, report: Callable[[], None]) -> list[Event]:
    """The events of a segment, one JSON object a line.

    Args:
        data: content of the segment.
        report: called if lines were skipped because they hold no event.
    """
    events, skipped = [], False
    for line in data.splitlines():
        event = _of_line(line)
        if event is not None:
            events.append(event)
        elif line.strip():
            skipped = True
    if skipped:
        report()
    return events


def _of_line(line: bytes) -> Event | None:
    try:
        return of_json(json.loads(line))
    except (ValueError, RecursionError):
        return None


def last(events: Sequence[Event], kind: type[E]) -> E | None:
    """The latest event of a kind."""
    return next((event for event in reversed(events) if isinstance(event, kind)), None)

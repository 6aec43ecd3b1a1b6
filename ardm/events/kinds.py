"""The kinds of events, one class each, and how events are read from the store.

The names of the kinds and of their fields are those in the store. A field with an invalid value
gets its default; an event whose required field is missing or invalid is read as an `Other`.
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
        raise ValueError("expected a string")
    return Outcome(value)


def _outcome_or_failed(value: object) -> Outcome:
    return Outcome(value) if isinstance(value, str) else Outcome.FAILED


def _reason(value: object) -> str:
    return value if isinstance(value, str) else "unknown"


def _split(value: object) -> str:
    return value if isinstance(value, str) else "test"


class Claimed(Event):
    """Process 0 has claimed the run; the event holds everything that the claim holds."""

    event: Literal["claimed"] = "claimed"

    @property
    def claim(self) -> dict[str, Any]:
        """The content of the claim."""
        return {"time": self.time} | (self.model_extra or {})


class Started(Event):
    """The attempt begins with a new state, from scratch."""

    event: Literal["started"] = "started"
    step: Whole
    seconds: Seconds = 0.0
    """Duration of the search for a checkpoint."""
    data_sha256: TextOrNone = None
    data: Object = Field(default_factory=dict)
    """Name of the data set, sizes and origins of its splits, and which files were left out."""


class Restored(Event):
    """The attempt begins with the state of a checkpoint."""

    event: Literal["restored"] = "restored"
    step: Whole
    digest: Text = ""
    from_attempt: WholeOrNone = None
    seconds: Seconds = 0.0
    """Time to find, read and verify the checkpoint."""
    data_sha256: TextOrNone = None
    data: Object = Field(default_factory=dict)
    """As in `Started`."""


class Skipped(Event):
    """A checkpoint is skipped because it is damaged, unfinished or unreadable."""

    event: Literal["skipped"] = "skipped"
    step: WholeOrNone = None
    from_attempt: WholeOrNone = None
    reason: Text = ""


class DataChanged(Event):
    """The run continues with other data than before, as `--override` allows."""

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
    """Workers differ in something that the bits of the result depend on."""

    event: Literal["workers_differ"] = "workers_differ"
    differences: Lines = Field(default_factory=list)


class FirstStep(Event):
    """The first step of the attempt is done."""

    event: Literal["first_step"] = "first_step"
    step: WholeOrNone = None
    seconds: Real
    compile_s: Seconds = 0.0
    """Seconds spent on compiling, part of them while the state was restored."""


class Trained(Event):
    """Mean training loss and rate of the steps since the last such event."""

    event: Literal["trained"] = "trained"
    step: Whole
    nelbo_bpd: RealOrNone = None
    """Mean training loss; None if no step had a finite one."""
    steps_per_s: RealOrNone = None


class SkippedStep(Event):
    """A step was skipped, because its loss, gradient or new state was not finite."""

    event: Literal["skipped_step"] = "skipped_step"
    step: Whole
    reason: Text = ""


class Evaluated(Event):
    """The EMA of the parameters was evaluated on images of a split."""

    event: Literal["evaluated"] = "evaluated"
    step: Whole
    split: Annotated[str, PlainValidator(_split)] = "test"
    """Earlier versions evaluated on test images only, and wrote no split."""
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
    """Seconds from the beginning of the save to its commit."""
    bytes: Count = 0
    interval: RealOrNone = None
    """Planned seconds from the beginning of this save to that of the next."""


class SaveFailed(Event):
    """A save has failed; it is tried again."""

    event: Literal["save_failed"] = "save_failed"
    step: WholeOrNone = None
    reason: Text = ""


class Stalled(Event):
    """A save in the background has slowed the training down, by so many seconds."""

    event: Literal["stalled"] = "stalled"
    step: WholeOrNone = None
    seconds: Real


class FinalSave(Event):
    """The attempt has waited at its end for the last save, for so many seconds."""

    event: Literal["final_save"] = "final_save"
    step: WholeOrNone = None
    seconds: Seconds = 0.0


class Notice(Event):
    """There is a preemption notice, or a signal that means the same."""

    event: Literal["notice"] = "notice"
    step: WholeOrNone = None
    reason: Text = ""


class WorkerFailed(Event):
    """A worker other than rank 0 has failed with an error that rank 0 does not have."""

    event: Literal["worker_failed"] = "worker_failed"
    rank: WholeOrNone = None
    outcome: Annotated[Outcome, PlainValidator(_outcome_or_failed)] = Outcome.FAILED
    step: Count = 0
    reason: Annotated[str, PlainValidator(_reason)] = "unknown"
    detail: Text = ""
    """The traceback of a programming error."""


class Ended(Event):
    """The attempt has ended, and its process could record how."""

    event: Literal["ended"] = "ended"
    outcome: Annotated[Outcome, PlainValidator(_outcome)]
    step: WholeOrNone = None
    """The last finished step."""
    reason: Text = ""
    detail: Text = ""
    """The traceback of a programming error."""


class Other(Event):
    """An event of an unknown kind, or with an invalid required field; it still shows life."""


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
    """The event that a JSON value holds; None if the value is no event."""
    if not isinstance(value, dict) or number(value, "time") is None:
        return None
    kind = value.get("event")
    for model in (KINDS.get(kind, Other), Other) if isinstance(kind, str) else ():
        try:
            return model.model_validate(value)
        except ValidationError:
            continue
    return None


def parse(data: bytes, report: Callable[[], None]) -> list[Event]:
    """The events of a segment, one JSON object a line.

    Args:
        data: the content of the segment.
        report: called once if any line was skipped because it holds no event.
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

"""What a tracker is, and what it is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Setting = str | int | float | bool


@dataclass(frozen=True)
class Scalar:
    """A finite number that belongs to a training step; `time` is in seconds since 1970."""

    tag: str
    step: int
    time: float
    value: float


@dataclass(frozen=True)
class Text:
    """A text in Markdown that belongs to a training step."""

    tag: str
    step: int
    time: float
    text: str


@dataclass(frozen=True)
class Picture:
    """A PNG that belongs to a training step."""

    tag: str
    step: int
    time: float
    png: bytes


Record = Scalar | Text | Picture


@dataclass(frozen=True)
class About:
    """What a tracker knows of a run before its first record.

    Attributes:
        run: name of the run.
        identity: the same for all attempts of the run, and for no other run.
        settings: the job, flat: `training.steps` and the like.
        job_file: the job as a YAML text.
    """

    run: str
    identity: str
    settings: Mapping[str, Setting]
    job_file: str


class Tracker(Protocol):
    """Receives the records of one attempt, in the order of their steps."""

    def write(self, records: Sequence[Record]) -> None:
        """Write records.

        Raises:
            Exception: of any kind; the same records are given again later.
        """
        ...

    def close(self) -> None:
        """Write what is left."""
        ...

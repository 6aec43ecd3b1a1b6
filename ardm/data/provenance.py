"""What a data set was read from: its splits, the files left out, and what was converted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NAMED = 10
"""Files of one kind that a message or an event names; more are counted."""


class Unused(NamedTuple):
    """A file or folder that is left out."""

    name: str
    """Relative to the folder; a folder ends with `/`."""
    reason: str
    """The kind of reason, the same for all files that have it."""
    detail: str = ""
    """What is peculiar to this file."""

    def __str__(self) -> str:
        # Names of files may hold what is not UTF-8, and what a terminal takes for a command.
        name = self.name.encode("utf-8", "backslashreplace").decode()
        name = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
        return f"{name} ({self.detail})" if self.detail else name


@dataclass(frozen=True)
class Report:
    """What a data set was read from.

    Attributes:
        origins: whose each split is, and how it was chosen, in words.
        left_out: files that are in no split.
        changes: how many images were converted in each way.
        repeated: for each pair of splits, how many images of the second equal one of the first.
    """

    origins: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[Unused] = ()
    changes: Mapping[str, int] = field(default_factory=dict)
    repeated: Mapping[str, int] = field(default_factory=dict)

    def warnings(self) -> list[str]:
        """Say what was left out, converted, and is in two splits, a line each."""
        lines = [f"left out, {line}" for line in by_reason(self.left_out)]
        if self.changes:
            parts = (f"{count} x {change}" for change, count in sorted(self.changes.items()))
            lines.append(f"converted: {'; '.join(parts)}")
        lines += [f"in two splits: {count} x {pair}" for pair, count in self.repeated.items()]
        return lines

    def as_json(self) -> dict[str, Any]:
        """All of it as a JSON value; of the files with one reason it names `NAMED`."""
        groups = _grouped(self.left_out)
        left_out = [
            {"reason": reason, "count": len(some), "names": [str(one) for one in some[:NAMED]]}
            for reason, some in groups.items()
        ]
        return {
            "origins": dict(self.origins),
            "left_out": left_out,
            "changes": dict(self.changes),
            "repeated": dict(self.repeated),
        }


def by_reason(unused: Iterable[Unused]) -> list[str]:
    """A line for each reason: how many files have it, and which."""
    lines = []
    for reason, some in _grouped(unused).items():
        more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
        names = ", ".join(str(one) for one in some[:NAMED])
        lines.append(f"{reason}: {len(some)} ({names}{more})")
    return lines


def count_changes(changes: Iterable[Sequence[str]]) -> dict[str, int]:
    """Count how many images were changed in each way."""
    return dict(Counter(change for some in changes for change in some))


def _grouped(unused: Iterable[Unused]) -> dict[str, list[Unused]]:
    groups: dict[str, list[Unused]] = {}
    for one in sorted(unused, key=lambda one: (one.reason, one.name)):
        groups.setdefault(one.reason, []).append(one)
    return groups

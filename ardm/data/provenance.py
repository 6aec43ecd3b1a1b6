"""The provenance of a data set: origins of its splits, files left out, conversions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NAMED = 10
"""Number of files of one kind that a message or an event names; further ones are only counted."""


class Unused(NamedTuple):
    """A file or folder that is left out."""

    name: str
    """Name relative to the root folder; the name of a folder ends with `/`."""
    reason: str
    """The kind of reason; equal for all files that are left out for it."""
    detail: str = ""
    """What is special about this file; may be empty."""

    def __str__(self) -> str:
        # A file name may contain bytes that are not UTF-8, and control characters for a terminal.
        name = self.name.encode("utf-8", "backslashreplace").decode()
        name = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
        return f"{name} ({self.detail})" if self.detail else name


class Refused(Exception):
    """A file that cannot be used.

    Attributes:
        reason: the kind of fault; equal for all files with this fault.
        detail: what is wrong with this file; may be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason} ({detail})" if detail else reason)


@dataclass(frozen=True)
class Report:
    """What a data set was read from.

    Attributes:
        origins: for each split a phrase that says who chose it, and how.
        left_out: files that are in no split.
        changes: for each kind of conversion, the number of images.
        repeated: for each pair of splits, the number of images that are in both.
    """

    origins: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[Unused] = ()
    changes: Mapping[str, int] = field(default_factory=dict)
    repeated: Mapping[str, int] = field(default_factory=dict)

    def warnings(self) -> list[str]:
        """Lines that name what was left out, what was converted, and what is in two splits."""
        lines = [f"left out, {line}" for line in by_reason(self.left_out)]
        if self.changes:
            parts = (f"{count} x {change}" for change, count in sorted(self.changes.items()))
            lines.append(f"converted: {'; '.join(parts)}")
        lines += [f"in two splits: {count} x {pair}" for pair, count in self.repeated.items()]
        return lines

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON value; it names at most `NAMED` files for each reason."""
        groups = _grouped(self.left_out)
        left_out = [
            {"reason": reason, "count": len(files), "names": [str(file) for file in files[:NAMED]]}
            for reason, files in groups.items()
        ]
        return {
            "origins": dict(self.origins),
            "left_out": left_out,
            "changes": dict(self.changes),
            "repeated": dict(self.repeated),
        }


def by_reason(unused: Iterable[Unused]) -> list[str]:
    """A line for each reason, with the number and the names of its files."""
    lines = []
    for reason, files in _grouped(unused).items():
        rest = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
        names = ", ".join(str(file) for file in files[:NAMED])
        lines.append(f"{reason}: {len(files)} ({names}{rest})")
    return lines


def count_changes(changes: Iterable[Sequence[str]]) -> dict[str, int]:
    """Count how many images were changed in each way."""
    return dict(Counter(change for of_image in changes for change in of_image))


def _grouped(unused: Iterable[Unused]) -> dict[str, list[Unused]]:
    groups: dict[str, list[Unused]] = {}
    for file in sorted(unused, key=lambda file: (file.reason, file.name)):
        groups.setdefault(file.reason, []).append(file)
    return groups

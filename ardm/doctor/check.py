"""A check: what was found, and what to do about it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ardm.errors import in_a_line
from ardm.secrecy import without_secrets


class Check(NamedTuple):
    """The result of a check.

    Attributes:
        name: what was checked.
        ok: whether runs can work as it is.
        finding: what was found, without any secret.
        remedy: what to do; empty if nothing has to be done.
    """

    name: str
    ok: bool
    finding: str
    remedy: str = ""

    def without_secrets(self) -> "Check":
        """The same check, in whose texts secrets are masked."""
        return Check(
            self.name, self.ok, without_secrets(self.finding), without_secrets(self.remedy)
        )


Checks = Iterator[Check]


def guarded(name: str, checks: Callable[[], Checks]) -> list[Check]:
    """The results of checks. An error that they did not expect is a finding, too."""
    done: list[Check] = []
    try:
        done.extend(checks())
    except Exception as error:  # one broken check must not end the others
        done.append(
            Check(
                name,
                ok=False,
                finding=f"the check failed: {in_a_line(error)}",
                remedy="report this, with the finding, as a bug",
            )
        )
    return done


def gigabytes(size: float) -> str:
    """A number of bytes, for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"

"""What a soak has come to, and whether the promises were kept."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ardm.checkpoint import checkpoints
from ardm.events import history
from ardm.events.records import AttemptRecord
from ardm.store.run_directory import Run

KINDS = {
    "kill": "SIGKILL while it trains",
    "start": "SIGKILL while it starts",
    "signals": "SIGTERM, SIGHUP or SIGINT, alone or two of them 20 ms apart",
    "freeze": "SIGSTOP; another attempt takes over; SIGCONT",
    "clock": "its clock jumps by up to an hour; SIGKILL",
    "nan": "a gradient becomes NaN",
    "torn": "SIGKILL; small files are emptied, cut, zeroed, removed or doubled",
    "damage": "SIGKILL; a bit of the newest checkpoint changes",
    "power": "the power of the disk is cut",
    "full": "the disk is full for a while",
    "outage": "the bucket does not answer, or with errors, for a while",
    "slow": "the bucket takes 40 ms to 1 s for each answer, for a while",
}


@dataclass(frozen=True)
class Struck:
    """A fault that happened.

    Attributes:
        kind: one of `KINDS`.
        attempt: which it ended; 0 if that went on.
        kept: step with which the next attempt must begin at the earliest.
        orderly: whether the attempt had the time to save its last step.
        what: particulars, for people.
    """

    kind: str
    attempt: int = 0
    kept: int = 0
    orderly: bool = False
    what: str = ""


@dataclass
class Result:
    """What a soak has come to.

    Attributes:
        faults: how many of each kind.
        legs: runs of the job, from its first step to its last.
        attempts: of all these runs.
        lost: steps that were done again, by the kind of the fault.
        broken: promises that were not kept, a line each.
        left_out: why kinds of fault cannot happen on this machine.
        reference: digest of the run that nobody interrupted.
        seconds: that all took.
    """

    faults: Counter[str] = field(default_factory=Counter)
    legs: int = 0
    attempts: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    reference: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The object that `ardm soak --json` prints."""
        return {
            "faults": self.faults.total(),
            "kinds": {
                kind: {"faults": self.faults[kind], "steps_lost": self.lost[kind]}
                for kind in KINDS
                if self.faults[kind]
            },
            "left_out": self.left_out,
            "runs": self.legs,
            "attempts": self.attempts,
            "digest": self.reference,
            "seconds": round(self.seconds, 1),
            "broken": self.broken,
        }


def judge(result: Result, run: Run, struck: Sequence[Struck]) -> list[str]:
    """Hold a finished run against the promises, and count what it lost.

    Args:
        result: takes the counts.
        run: one that has ended.
        struck: the faults that happened to it.

    Returns:
        A line for each promise that was not kept.
    """
    records = {record.attempt: record for record in history.read(run).records}
    result.attempts += len(records)
    broken = []
    if (found := digest(run)) != result.reference:
        broken.append(f"it ended with the digest {found[:12]}")
    torn = any(fault.kind == "torn" for fault in struck)
    for fault in struck:
        record, after = records.get(fault.attempt), _next(records, fault.attempt)
        if record is None or after is None or after.first_step is None:
            continue
        lost = max((record.last_step or 0) - after.first_step, 0)
        result.lost[fault.kind] += lost
        # Where files were torn, the record of the last step may be among them.
        if fault.orderly and lost and not torn:
            broken.append(f"{fault.kind}: {lost} steps lost ({fault.what})")
        if after.first_step < fault.kept:
            broken.append(
                f"{fault.kind}: attempt {after.attempt} began with step {after.first_step}, "
                f"though step {fault.kept} was saved ({fault.what})"
            )
    return broken


def digest(run: Run) -> str:
    """The digest of the newest checkpoint of a run."""
    newest = checkpoints.committed(run)
    return str(checkpoints.verify(newest[0])["digest"]) if newest else "none"


def _next(records: dict[int, AttemptRecord], attempt: int) -> AttemptRecord | None:
    """The first attempt after one that got as far as a checkpoint."""
    later = sorted(number for number in records if number > attempt)
    return next((records[n] for n in later if records[n].first_step is not None), None)

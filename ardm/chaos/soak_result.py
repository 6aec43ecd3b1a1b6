"""The result of a soak test, and whether its runs kept the promises."""

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
    "clock": "the clock of the process jumps by up to an hour; SIGKILL",
    "nan": "a gradient becomes NaN",
    "torn": "SIGKILL; files of the run are emptied, cut, zeroed, removed or copied",
    "damage": "SIGKILL; a bit of the newest checkpoint changes",
    "power": "the power of the disk is cut",
    "full": "the disk is full for a while",
    "outage": "the bucket does not answer, or answers with errors, for a while",
    "slow": "every answer of the bucket is delayed by 40 ms or 1 s for a while",
}


@dataclass(frozen=True)
class SoakFault:
    """A fault that was injected.

    Attributes:
        kind: the kind of fault, a key of `KINDS`.
        attempt: number of the attempt that the fault ended; 0 if it ended none.
        kept: the next attempt must begin with this step or a later one.
        orderly: whether the attempt had time to save its last step.
        what: details for the user.
    """

    kind: str
    attempt: int = 0
    kept: int = 0
    orderly: bool = False
    what: str = ""


@dataclass
class Result:
    """The result of a soak test.

    Attributes:
        faults: number of injected faults, by kind.
        rounds: number of runs of the job, each from its first step to its last.
        attempts: number of attempts of all these runs.
        lost: number of steps that had to be repeated, by kind of fault.
        broken: one line for each broken promise.
        left_out: the kinds of faults that cannot be injected on this machine, with the reason.
        reference: final digest of the uninterrupted run.
        seconds: duration of the whole test (seconds).
    """

    faults: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
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
            "runs": self.rounds,
            "attempts": self.attempts,
            "digest": self.reference,
            "seconds": round(self.seconds, 1),
            "broken": self.broken,
        }


def judge(result: Result, run: Run, faults: Sequence[SoakFault]) -> list[str]:
    """Check whether a finished run kept the promises, and count the steps that it lost.

    Args:
        result: the counts of the run are added to this result.
        run: a run that has ended.
        faults: the faults that were injected into it.

    Returns:
        One line for each broken promise.
    """
    records = {record.attempt: record for record in history.read(run).records}
    result.attempts += len(records)
    broken = []
    if (final := digest(run)) != result.reference:
        broken.append(f"it ended with the digest {final[:12]}")
    torn = any(fault.kind == "torn" for fault in faults)
    for fault in faults:
        record, after = records.get(fault.attempt), _next(records, fault.attempt)
        if record is None or after is None or after.first_step is None:
            continue
        lost = max((record.last_step or 0) - after.first_step, 0)
        result.lost[fault.kind] += lost
        # If files were torn, the record of the last step may be one of them.
        if fault.orderly and lost and not torn:
            broken.append(f"{fault.kind}: {lost} steps lost ({fault.what})")
        if after.first_step < fault.kept:
            broken.append(
                f"{fault.kind}: attempt {after.attempt} began with step {after.first_step}, "
                f"though step {fault.kept} was saved ({fault.what})"
            )
    return broken


def digest(run: Run) -> str:
    """The digest of the newest checkpoint of a run; `none` if it has none."""
    newest = checkpoints.committed(run)
    return str(checkpoints.verify(newest[0])["digest"]) if newest else "none"


def _next(records: dict[int, AttemptRecord], attempt: int) -> AttemptRecord | None:
    """The first attempt after this one that restored a checkpoint or began from the first step."""
    later = sorted(number for number in records if number > attempt)
    return next((records[n] for n in later if records[n].first_step is not None), None)

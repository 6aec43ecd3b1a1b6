"""Judges a run with injected faults: what each fault cost, and every promise that was broken."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from ardm.analysis import goodput
from ardm.analysis.goodput import AttemptRecord
from ardm.events import kinds
from ardm.events.events import Event, Outcome

TROUBLE = ("storage", "route", "slow", "full")
"""Kinds of faults that make saves fail while they last, but do not end an attempt."""


@dataclass(frozen=True)
class InjectedFault:
    """A fault that was injected. The names of the attributes appear in the JSON output.

    Attributes:
        kind: the kind of fault, a key of `schedule.KINDS`.
        time: time at which the fault began (seconds since 1970).
        until: time at which the fault was over (seconds since 1970).
        attempt: number of the newest attempt when the fault began; 0 if there was none.
        step: the step that this attempt had last reported.
        told: one line that describes what was done.
        extra_steps: number of steps between the newest checkpoint, which the fault damaged, and the
            checkpoint before it; 0 if the fault damaged none.
        saves: whether the fault leaves the run time to save before it ends.
    """

    kind: str
    time: float
    until: float
    attempt: int
    step: int
    told: str
    extra_steps: int = 0
    saves: bool = False


@dataclass(frozen=True)
class Facts:
    """The observations of a run that `judge` judges.

    Attributes:
        attempts: records of all attempts of the run, oldest first.
        faults: the faults that were injected, in order of time.
        total_steps: number of steps of the job.
        interval_s: time between two saves (seconds); the longest one, if the run varied it.
        step_s: duration of a step at the highest speed seen (seconds); it converts the seconds that
            a fault may cost into steps.
        digest: digest of the newest verified checkpoint; None if there is none.
        reference: final digest of the uninterrupted run.
        submissions: number of times that the run was submitted.
        lost_checkpoints: one line for each time that the newest intact checkpoint was removed.
        now: time at which the run ended (seconds since 1970).
    """

    attempts: Sequence[AttemptRecord]
    faults: Sequence[InjectedFault]
    total_steps: int
    interval_s: float
    step_s: float
    digest: str | None
    reference: str
    submissions: int = 1
    lost_checkpoints: Sequence[str] = ()
    now: float = 0.0


def judge(facts: Facts) -> dict[str, Any]:
    """Count the steps that were lost, and compare them with the steps that may be lost.

    A fault may cost the steps of one checkpoint interval, of one save and one more step. There are
    these exceptions:

    - A drain, and a signal to the driver, may cost nothing.
    - Faults of the store or of temporary space (`TROUBLE`) make saves fail, so the steps of their
      duration may be lost as well.
    - A damaged checkpoint also costs the steps since the checkpoint before it.
    - A torn file costs nothing beyond the kill that comes with it.

    Steps that a killed attempt did after its last report count as lost. They are estimated at the
    highest speed seen, unless the clock of the attempt was stepped.

    Returns:
        The object that `ardm chaos --json` prints, without the options of the run: `faults`,
        `kinds` (count, recoveries, steps lost and seconds to the next step, by kind), `recoveries`,
        `submissions`, `attempts`, `unexplained` (the attempts that ended without a fault),
        `steps_lost`, `most_lost`, `goodput`, `digest`, `reference`, `equal`, and `broken` (one line
        for each broken promise).
    """
    culprits = {record.attempt: _culprit(facts, record) for record in facts.attempts}
    facts = replace(
        facts, attempts=[_with_unreported(facts, r, culprits[r.attempt]) for r in facts.attempts]
    )
    attempts = list(facts.attempts)
    costs = {record.attempt: record.steps_lost for record in attempts}
    unexplained = [
        record.attempt
        for record in attempts[:-1]
        if culprits[record.attempt] is None and not _hit_by_trouble(facts, record)
    ]
    return {
        "faults": [asdict(fault) for fault in facts.faults],
        "kinds": _by_kind(facts, culprits),
        "recoveries": sum(record.trains_from is not None for record in attempts[1:]),
        "submissions": facts.submissions,
        "attempts": len(attempts),
        "unexplained": unexplained,
        "steps_lost": sum(costs.values()),
        "most_lost": max(costs.values(), default=0),
        "goodput": goodput.goodput(attempts, facts.now),
        "digest": facts.digest,
        "reference": facts.reference,
        "equal": facts.digest == facts.reference,
        "broken": _broken(facts, culprits),
    }


def fastest_step(event_logs: Sequence[Sequence[Event]]) -> float | None:
    """The duration of a step at the highest speed between two successive saves of an attempt.

    Args:
        event_logs: the events of each attempt.

    Returns:
        Seconds per step; None if no attempt saved twice.
    """
    step_s: list[float] = []
    for events in event_logs:
        saves = [(e.step, e.time - e.seconds) for e in events if isinstance(e, kinds.Saved)]
        pairs = itertools.pairwise(saves)
        step_s += [(t2 - t1) / (s2 - s1) for (s1, t1), (s2, t2) in pairs if s2 > s1 and t2 > t1]
    return min(step_s, default=None)


def allowed(facts: Facts, record: AttemptRecord) -> int:
    """The number of steps that may be lost at the end of an attempt."""
    seconds = facts.interval_s + _save_s(facts, record)
    begin, end = _life(facts, record)
    troubled = [
        min(fault.until, end) - max(fault.time, begin)
        for fault in facts.faults
        if fault.kind in TROUBLE and fault.time < end and fault.until > begin
    ]
    if troubled:
        # A failed save is retried with back-off, whose delay may be as long as the interval.
        seconds += sum(troubled) + facts.interval_s
    extra = sum(f.extra_steps for f in facts.faults if f.attempt == record.attempt)
    return math.ceil(seconds / facts.step_s) + 1 + extra


def _broken(facts: Facts, culprits: dict[int, InjectedFault | None]) -> list[str]:
    broken = list(facts.lost_checkpoints)
    last = facts.attempts[-1] if facts.attempts else None
    if last is None or last.outcome != Outcome.COMPLETED or last.last_step != facts.total_steps:
        how = f"{last.outcome or 'no end'} at step {last.last_step}" if last else "no attempt"
        broken.append(f"the run was not completed: {how} of {facts.total_steps}")
    elif facts.digest != facts.reference:
        broken.append(
            f"the digest differs from that of the uninterrupted run: expected "
            f"{facts.reference[:12]}, got {(facts.digest or 'none')[:12]}"
        )
    for record in facts.attempts:
        bound, culprit = allowed(facts, record), culprits[record.attempt]
        cause = f" ({culprit.kind} at step {culprit.step})" if culprit else ""
        if record.steps_lost > bound:
            broken.append(
                f"attempt {record.attempt}{cause} lost {record.steps_lost} steps; at most {bound} "
                "are promised"
            )
        elif culprit and _only_a_notice(facts, record, culprit) and record.steps_lost:
            what = "a drain" if culprit.kind == "drain" else "a signal to the driver"
            broken.append(
                f"attempt {record.attempt} lost {record.steps_lost} steps{cause}; {what} loses none"
            )
    return broken


def _with_unreported(
    facts: Facts, record: AttemptRecord, culprit: InjectedFault | None
) -> AttemptRecord:
    """Add to the steps lost those that the attempt did, but was killed before it reported them."""
    if not record.silent or record.trains_from is None or culprit is None:
        return record
    if any(f.kind == "clock" and f.attempt == record.attempt for f in facts.faults):
        return record  # its reports carry the times of another clock
    unreported = math.ceil(max(culprit.time - record.last_seen, 0.0) / facts.step_s)
    return replace(record, steps_lost=record.steps_lost + unreported)


def _culprit(facts: Facts, record: AttemptRecord) -> InjectedFault | None:
    """The last fault injected into an attempt that can have ended it."""
    candidates = [f for f in facts.faults if f.attempt == record.attempt and f.kind not in TROUBLE]
    return candidates[-1] if candidates else None


def _hit_by_trouble(facts: Facts, record: AttemptRecord) -> bool:
    """Whether saves could fail during the life of an attempt because of an injected fault."""
    begin, end = _life(facts, record)
    return any(f.kind in TROUBLE and f.time < end and f.until > begin for f in facts.faults)


def _only_a_notice(facts: Facts, record: AttemptRecord, culprit: InjectedFault) -> bool:
    """Whether a fault gave the attempt time to save, and no other fault happened meanwhile."""
    others = [f for f in facts.faults if f is not culprit]
    return (culprit.kind == "drain" or culprit.saves) and not any(
        f.time < culprit.until
        and f.until > culprit.time
        and (f.kind in TROUBLE or f.attempt == record.attempt)
        for f in others
    )


def _life(facts: Facts, record: AttemptRecord) -> tuple[float, float]:
    """The times at which an attempt began and the next one began (seconds since 1970)."""
    later = [r.began for r in facts.attempts if r.attempt > record.attempt]
    return record.began, min(later, default=facts.now)


def _save_s(facts: Facts, record: AttemptRecord) -> float:
    """Duration of the longest save that may have been under way (seconds)."""
    calm = [r for r in facts.attempts if r is record or not _hit_by_trouble(facts, r)]
    return max((r.longest_save_s for r in calm), default=0.0)


def _by_kind(facts: Facts, culprits: dict[int, InjectedFault | None]) -> dict[str, dict[str, Any]]:
    kinds: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(fault.kind for fault in facts.faults):
        ended = [
            record
            for record in facts.attempts[:-1]
            if (culprit := culprits[record.attempt]) and culprit.kind == kind
        ]
        waits = [w for r in ended if (w := _recovery(facts, r, culprits[r.attempt])) is not None]
        kinds[kind] = {
            "faults": sum(fault.kind == kind for fault in facts.faults),
            "recoveries": len(waits),
            "steps_lost": sum(r.steps_lost for r in ended),
            "most_lost": max((r.steps_lost for r in ended), default=0),
            "recovery_s": round(median(waits), 1) if waits else None,
        }
    return kinds


def _recovery(facts: Facts, record: AttemptRecord, culprit: InjectedFault | None) -> float | None:
    """Seconds from a fault to the end of the first step that was trained after it."""
    ends = [
        r.trains_from + r.first_step_s
        for r in facts.attempts
        if r.attempt > record.attempt and r.trains_from is not None
    ]
    return ends[0] - culprit.time if culprit and ends else None

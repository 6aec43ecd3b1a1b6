"""What a run among faults has come to: a table, and every promise that was not kept."""

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
"""Kinds of faults that keep saves from succeeding while they last, and end no attempt."""


@dataclass(frozen=True)
class Injected:
    """A fault that happened; times in seconds since 1970.

    Attributes:
        kind: see `schedule.KINDS`.
        time: when it began.
        until: when it was over.
        attempt: the newest one when it began; 0 if there was none.
        step: that this attempt had last reported.
        told: what was done, for people.
        extra_steps: between the newest checkpoint, which the fault damaged, and the one before.
        saves: whether the run can save before it ends.
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
    """All that a verdict is found from.

    Attributes:
        attempts: of the run, oldest first.
        faults: in order of time.
        total_steps: of the job.
        interval_s: seconds between two saves; the longest, if they were chosen.
        step_s: seconds of the fastest steps seen, by which seconds count as steps.
        digest: of the newest verified checkpoint.
        reference: of the uninterrupted run.
        submissions: of the run, the first included.
        went_back: each time that the newest good checkpoint was removed, as a line.
        now: seconds since 1970.
    """

    attempts: Sequence[AttemptRecord]
    faults: Sequence[Injected]
    total_steps: int
    interval_s: float
    step_s: float
    digest: str | None
    reference: str
    submissions: int = 1
    went_back: Sequence[str] = ()
    now: float = 0.0


def judge(facts: Facts) -> dict[str, Any]:
    """Tell what was lost, and whether it was within the promise.

    At most the checkpoint interval, the duration of a save and one step may be lost at a fault; a
    drain and a signal to the driver lose nothing. While the store fails, is slow or is not let
    through, or a save finds no temporary space, no save can succeed, so these faults add their
    seconds; a damaged checkpoint adds the steps to the one before. A torn file adds nothing. What
    a killed attempt did after it last reported its steps counts as lost, at the speed of the
    fastest steps, unless its clock was stepped.

    Returns:
        The object that `ardm chaos --json` prints, but for the names of the run: `faults`, `kinds`
        (count, recoveries, steps lost and seconds to the next step, by kind), `recoveries`,
        `submissions`, `attempts`, `steps_lost`, `most_lost`, `goodput`, `digest`, `reference`,
        `equal`, and `broken`: a line for each promise that was not kept.
    """
    culprits = {record.attempt: _culprit(facts, record) for record in facts.attempts}
    facts = replace(facts, attempts=[_whole(facts, r, culprits[r.attempt]) for r in facts.attempts])
    attempts = list(facts.attempts)
    costs = {record.attempt: record.steps_lost for record in attempts}
    unexplained = [
        record.attempt
        for record in attempts[:-1]
        if culprits[record.attempt] is None and not _struck_by_store(facts, record)
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


def fastest_step(attempts: Sequence[Sequence[Event]]) -> float | None:
    """Seconds per step between the two saves of one attempt that lie closest for their steps.

    Args:
        attempts: the events of each.

    Returns:
        None if no attempt saved twice.
    """
    found = []
    for events in attempts:
        saves = [(e.step, e.time - e.seconds) for e in events if isinstance(e, kinds.Saved)]
        pairs = itertools.pairwise(saves)
        found += [(t2 - t1) / (s2 - s1) for (s1, t1), (s2, t2) in pairs if s2 > s1 and t2 > t1]
    return min(found, default=None)


def allowed(facts: Facts, record: AttemptRecord) -> int:
    """Steps that the end of an attempt may cost."""
    seconds = facts.interval_s + _save_s(facts, record)
    begin, end = _life(facts, record)
    troubled = [
        min(fault.until, end) - max(fault.time, begin)
        for fault in facts.faults
        if fault.kind in TROUBLE and fault.time < end and fault.until > begin
    ]
    if troubled:
        # A failed save is tried again with back-off, which may be as long as the interval.
        seconds += sum(troubled) + facts.interval_s
    extra = sum(f.extra_steps for f in facts.faults if f.attempt == record.attempt)
    return math.ceil(seconds / facts.step_s) + 1 + extra


def _broken(facts: Facts, culprits: dict[int, Injected | None]) -> list[str]:
    broken = list(facts.went_back)
    last = facts.attempts[-1] if facts.attempts else None
    if last is None or last.outcome != Outcome.COMPLETED or last.last_step != facts.total_steps:
        how = f"{last.outcome or 'no end'} at step {last.last_step}" if last else "no attempt"
        broken.append(f"the run was not completed: {how} of {facts.total_steps}")
    elif facts.digest != facts.reference:
        broken.append(
            f"the digest differs from that of the uninterrupted run: {facts.reference[:12]} was "
            f"expected, {(facts.digest or 'none')[:12]} came"
        )
    for record in facts.attempts:
        bound, culprit = allowed(facts, record), culprits[record.attempt]
        cause = f" ({culprit.kind} at step {culprit.step})" if culprit else ""
        if record.steps_lost > bound:
            broken.append(
                f"attempt {record.attempt}{cause} lost {record.steps_lost} steps; at most {bound} "
                "are promised"
            )
        elif culprit and _notice_alone(facts, record, culprit) and record.steps_lost:
            what = "a drain" if culprit.kind == "drain" else "a signal to the driver"
            broken.append(
                f"attempt {record.attempt} lost {record.steps_lost} steps{cause}; {what} loses none"
            )
    return broken


def _whole(facts: Facts, record: AttemptRecord, culprit: Injected | None) -> AttemptRecord:
    """An attempt with the steps lost that it had no time to report."""
    if not record.silent or record.trains_from is None or culprit is None:
        return record
    if any(f.kind == "clock" and f.attempt == record.attempt for f in facts.faults):
        return record  # the moments that it reported are those of another clock
    untold = math.ceil(max(culprit.time - record.last_seen, 0.0) / facts.step_s)
    return replace(record, steps_lost=record.steps_lost + untold)


def _culprit(facts: Facts, record: AttemptRecord) -> Injected | None:
    """The last fault that struck an attempt, those aside that end none."""
    mine = [f for f in facts.faults if f.attempt == record.attempt and f.kind not in TROUBLE]
    return mine[-1] if mine else None


def _struck_by_store(facts: Facts, record: AttemptRecord) -> bool:
    begin, end = _life(facts, record)
    return any(f.kind in TROUBLE and f.time < end and f.until > begin for f in facts.faults)


def _notice_alone(facts: Facts, record: AttemptRecord, culprit: Injected) -> bool:
    """Whether a notice is all that happened to an attempt while it lasted."""
    others = [f for f in facts.faults if f is not culprit]
    return (culprit.kind == "drain" or culprit.saves) and not any(
        f.time < culprit.until
        and f.until > culprit.time
        and (f.kind in TROUBLE or f.attempt == record.attempt)
        for f in others
    )


def _life(facts: Facts, record: AttemptRecord) -> tuple[float, float]:
    """From the beginning of an attempt to that of the next one."""
    later = [r.began for r in facts.attempts if r.attempt > record.attempt]
    return record.began, min(later, default=facts.now)


def _save_s(facts: Facts, record: AttemptRecord) -> float:
    """Seconds of the longest save that may have been under way."""
    calm = [r for r in facts.attempts if r is record or not _struck_by_store(facts, r)]
    return max((r.longest_save_s for r in calm), default=0.0)


def _by_kind(facts: Facts, culprits: dict[int, Injected | None]) -> dict[str, dict[str, Any]]:
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


def _recovery(facts: Facts, record: AttemptRecord, culprit: Injected | None) -> float | None:
    """Seconds from a fault to the end of the first step that was trained after it."""
    ends = [
        r.trains_from + r.first_step_s
        for r in facts.attempts
        if r.attempt > record.attempt and r.trains_from is not None
    ]
    return ends[0] - culprit.time if culprit and ends else None

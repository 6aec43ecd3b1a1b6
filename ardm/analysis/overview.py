"""An overview of all runs of a store, with a few requests for all of them together."""

import time
from typing import Any

from ardm.events import kinds
from ardm.events.events import Outcome, number, whole
from ardm.store import registry
from ardm.store.claims import stale_s
from ardm.store.run_directory import attempts_among
from ardm.store.store import Store


def overview(
    store: Store, job: str | None = None, now: float | None = None
) -> list[dict[str, Any]]:
    """The runs of a store, the oldest first.

    The state is what the newest attempt has reported. An attempt that has been silent for a while
    counts as stopped; `ardm.analysis.status` looks more closely.

    Args:
        store: the store.
        job: only runs of this job; None for all.
        now: the present time (seconds since 1970); None reads the clock.

    Returns:
        For each run `run`, `job`, `created` (UTC), `state`, `step`, `total_steps`,
        `train_nelbo_bpd` and `age_s`, the seconds since its newest attempt last reported; None
        where nothing is known.
    """
    now = time.time() if now is None else now
    entries = [entry for entry in registry.entries(store) if job in (None, entry.job)]
    claims = store.names_of([entry.run.attempts_dir for entry in entries])
    files = {
        entry.run.name: entry.run.progress(max(numbers))
        for entry in entries
        if (numbers := attempts_among(claims[entry.run.attempts_dir]))
    }
    progress = store.read_records(files.values())
    return [
        {"run": entry.run.name, "job": entry.job, "created": entry.created}
        | _reported(progress.get(files.get(entry.run.name, ""), {}), now)
        for entry in entries
    ]


def _reported(progress: dict[str, Any], now: float) -> dict[str, Any]:
    when = number(progress, "time")
    age = None if when is None else max(now - when, 0.0)
    ended = kinds.of_json(progress.get(kinds.name(kinds.Ended)))
    if isinstance(ended, kinds.Ended):
        state = Outcome(ended.outcome).state
    elif not progress:
        state = "queued"
    elif age is not None and age > stale_s(number(progress, "beat_s") or 0.0):
        state = "stopped"
    else:
        state = str(progress.get("state", "starting"))
    return {
        "state": state,
        "step": whole(progress, "step"),
        "total_steps": whole(progress, "total_steps"),
        "train_nelbo_bpd": number(progress, "train_nelbo_bpd"),
        "age_s": None if age is None else round(age, 1),
    }

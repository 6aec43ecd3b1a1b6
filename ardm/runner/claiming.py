"""Process 0 claims the next attempt of a run, and writes who it is."""

import os
import socket
import time
import uuid
from collections.abc import Mapping
from typing import Any

from ardm.job.spec import JobSpec
from ardm.outages import of_the_store
from ardm.runner.context import Context
from ardm.runner.environment import environment
from ardm.store import claims
from ardm.store.retry import Deadline, attend, retry
from ardm.store.run_directory import Run


def claim(run: Run, spec: JobSpec, context: Context, began: float) -> tuple[int, dict[str, Any]]:
    """Claim the next attempt, from a store that may fail for a while.

    Args:
        run: the run.
        spec: what is trained; a copy of it goes into the claim.
        context: of the attempt.
        began: when this process turned to the run, in seconds since 1970.

    Returns:
        The number of the attempt, and the content of its claim.

    Raises:
        Abandoned: the machine goes away.
        OSError: or another error of the file system: the store does not answer in time.
    """
    mine = about_here(time.time(), context.group.size) | dict(context.metadata)
    mine |= {"began": round(began, 3), "token": uuid.uuid4().hex}
    mine |= {"spec": spec.model_dump(mode="json")}

    def once() -> tuple[int, dict[str, Any]]:
        content = mine | {"submitted": _submitted(run, mine)}
        return claims.claim(run, content), content

    def in_time() -> tuple[int, dict[str, Any]]:
        return retry(once, Deadline(context.timings.claim), of_the_store)

    # A machine that goes away has no time for it.
    return attend(in_time, lambda: context.notice.reason is not None, "ardm-claim")


def about_here(now: float, workers: int) -> dict[str, Any]:
    """What a claim says of this process: where and when, and what its bits depend on."""
    return {
        "time": round(now, 3),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "workers": workers,
        **environment(),
    }


def _submitted(run: Run, mine: Mapping[str, Any]) -> float | None:
    """When the submission that this attempt belongs to was made."""
    noted = run.store.read_record(run.submission) or {}
    same = noted.get("submission_id") == mine.get("submission")
    return noted.get("submitted") if same else None

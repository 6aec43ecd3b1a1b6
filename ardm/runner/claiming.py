"""Process 0 claims the next attempt of a run; the claim says which process holds it."""

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
    """Claim the next attempt, with retries while the store fails.

    Args:
        run: the run.
        spec: the job to train; the claim holds a copy.
        context: the context of the attempt.
        began: when this process began to work on the run, in seconds since 1970.

    Returns:
        The number of the attempt, and the content of its claim.

    Raises:
        Abandoned: there is a preemption notice.
        OSError: or another error of the file system: the store does not answer in time.
    """
    metadata = process_metadata(time.time(), context.group.size) | dict(context.metadata)
    metadata |= {"began": round(began, 3), "token": uuid.uuid4().hex}
    metadata |= {"spec": spec.copy_for_records()}

    def once() -> tuple[int, dict[str, Any]]:
        content = metadata | {"submitted": _submitted(run, metadata)}
        return claims.claim(run, content), content

    def in_time() -> tuple[int, dict[str, Any]]:
        return retry(once, Deadline(context.timings.claim), of_the_store)

    # After a preemption notice there is no time left to train.
    return attend(in_time, lambda: context.notice.reason is not None, "ardm-claim")


def process_metadata(now: float, workers: int) -> dict[str, Any]:
    """What a claim holds on this process: time, host, and what the bits of results depend on."""
    return {
        "time": round(now, 3),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "workers": workers,
        **environment(),
    }


def _submitted(run: Run, metadata: Mapping[str, Any]) -> float | None:
    """When the job of this attempt was submitted; None if that is not known."""
    record = run.store.read_record(run.submission) or {}
    same = record.get("submission_id") == metadata.get("submission")
    return record.get("submitted") if same else None

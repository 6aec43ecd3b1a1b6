"""Submitting a run to Ray's job server, and asking the server about it."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray.job_submission import JobStatus, JobSubmissionClient

import ardm
from ardm.errors import InputError, JobFailed
from ardm.runs.layout import Run

# Settings of the submitting shell that workers on the same machine must share.
_CARRIED = ("ARDM_", "FSSPEC_", "GCSFS_", "GOOGLE_", "JAX_", "XLA_", "AWS_")
_CARRIED_WHOLE = ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL", "NO_GCE_CHECK")

START_PATIENCE = 60.0
"""Seconds that a job server may take to become ready for jobs."""

RUNNING = (JobStatus.PENDING, JobStatus.RUNNING)


@dataclass(frozen=True)
class Submission:
    """A run handed to a Ray cluster."""

    address: str
    submission_id: str
    submitted: float | None = None
    """Seconds since 1970."""
    after: int | None = None
    """The newest attempt of the run when it was submitted; 0 if there was none."""


def submit(run: Run, address: str, *, local: bool) -> Submission:
    """Hand a run to a cluster.

    Args:
        run: opened.
        address: of the job server.
        local: whether the cluster is this machine, with this Python and these files.

    Returns:
        The submission, which is also noted in the run.

    Raises:
        InputError: the server cannot be reached, or cannot reach the store.
        JobFailed: the run is being trained already.
    """
    if not local and run.store.is_local:
        raise InputError(
            f"store {run.store.uri} is a directory of this machine, which the cluster at {address} "
            "cannot see; give one that both reach, such as --store gs://bucket/runs"
        )
    with _server(address) as client:
        name = _new_id(client, run)
        python = sys.executable if local else "python"
        environment = _environment() if local else {}
        runtime: dict[str, object] = {"env_vars": environment | {"PYTHONUNBUFFERED": "1"}}
        if not local:
            # The cluster's image has the libraries; the code is the one that was submitted.
            runtime["py_modules"] = [str(Path(ardm.__file__).parent)]
        asked, after = round(time.time(), 3), max(run.attempts(), default=0)
        _hand_over(
            client,
            entrypoint=f"{python} -m ardm.cluster.driver {run.store.uri} {run.name} {name}",
            submission_id=name,
            runtime_env=runtime,
            metadata={"job": run.name, "store": run.store.uri},
        )
    made = Submission(address, name, asked, after)
    run.store.write(run.submission, json.dumps(asdict(made)).encode())
    return made


def _new_id(client: JobSubmissionClient, run: Run) -> str:
    """The next free submission id of a run that nobody trains here."""
    names = [job.submission_id for job in client.list_jobs()]
    mine = [name for name in names if name and name.rpartition("-")[0] == run.name]
    for name in mine:
        if client.get_job_status(name) in RUNNING:
            raise JobFailed(
                f"run {run.name} is being trained already, as {name}; `ardm stop {run.name}` first"
            )
    number = 1 + max((int(n.rpartition("-")[2]) for n in mine if n[-1].isdigit()), default=0)
    return f"{run.name}-{number}"


def newest(run: Run) -> Submission | None:
    """The last submission of a run, as it is noted there."""
    noted = run.store.read_record(run.submission)
    return Submission(**noted) if noted else None


def status(submission: Submission) -> str | None:
    """What the job server says of a submission; None if it cannot be reached or knows nothing."""
    try:
        with _server(submission.address) as client:
            return str(client.get_job_status(submission.submission_id).value)
    except (InputError, RuntimeError):
        return None


def stop(submission: Submission) -> None:
    """Have the job server end a driver."""
    with _server(submission.address) as client:
        client.stop_job(submission.submission_id)


def logs(submission: Submission) -> str:
    """The driver's output so far."""
    with _server(submission.address) as client:
        return str(client.get_job_logs(submission.submission_id))


@contextmanager
def _server(address: str) -> Iterator[JobSubmissionClient]:
    """A job server, which must answer to the end of what it is asked."""

    def silent(error: Exception) -> InputError:
        return InputError(
            f"no Ray job server answers at {address} ({error}); give the address of a running one "
            "with ADDRESS=http://host:8265 (--address), or none for a local Ray"
        )

    try:
        client = JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise silent(error) from error
    try:
        yield client
    except OSError as error:  # as all errors of `requests` are
        raise silent(error) from error


def _hand_over(client: JobSubmissionClient, **job: Any) -> None:
    """Submit, waiting for a head that has just started and has no agent for jobs yet."""
    deadline = time.monotonic() + START_PATIENCE
    while True:
        try:
            client.submit_job(**job)
            return
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise JobFailed(f"the job server refuses the job: {error}") from error
            time.sleep(0.5)


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_CARRIED) or name in _CARRIED_WHOLE
    }

"""Submissions: handing a run to Ray's job server, asking for its status, stopping it."""

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray.job_submission import JobStatus, JobSubmissionClient
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

import ardm
from ardm.cluster import access, interpreter, local, ports, shell_variables
from ardm.cluster.job_server import JobServer, clear_path, connected, own_ray
from ardm.errors import InputError, JobFailed
from ardm.events import events
from ardm.runner import control
from ardm.runner.context import Ended
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store

START_PATIENCE = 60.0
"""Seconds that a job server may take until it accepts jobs."""

RUNNING = (JobStatus.PENDING, JobStatus.RUNNING)


@dataclass(frozen=True)
class Submission:
    """A run that was handed to a Ray cluster."""

    address: str
    submission_id: str
    submitted: float | None = None
    """Time of submission (seconds since 1970)."""
    after: int | None = None
    """Number of the newest attempt before the submission; 0 if there was none."""
    local_ray: str | None = None
    """If it was submitted to a local Ray: a digest of that Ray's token. No other is asked about
    the submission."""


def require(server: JobServer, store: Store, *, shared: bool = False) -> None:
    """Check that a job server answers and that its cluster can reach a store.

    Args:
        server: the job server.
        store: the store.
        shared: whether the user says that every machine of the cluster has mounted the directory.

    Raises:
        InputError: the cluster cannot reach the store, or the server does not answer.
    """
    if not server.here and store.is_local and not shared:
        raise InputError(
            f"store {store.uri} is a directory of this machine, which the cluster at "
            f"{server.address} cannot see; give one that both reach, such as --store "
            "gs://bucket/runs. If every machine of the cluster has mounted this directory at the "
            "same path, say so with --shared"
        )
    with connected(server.address) as client:
        client.list_jobs()


def submit(run: Run, server: JobServer) -> Submission:
    """Hand a run to a cluster.

    Args:
        run: the run, which exists.
        server: the job server, which `require` has checked.

    Returns:
        The submission, which is also recorded in the run directory.

    Raises:
        InputError: the server cannot be reached.
        JobFailed: the run is being trained already.
    """
    address, here = server.address, server.here
    with connected(address) as client:
        name = _new_id(client, run)
        python = sys.executable if here else "python"
        with _environment(name, here=here) as variables:
            runtime: dict[str, object] = {"env_vars": variables | {"PYTHONUNBUFFERED": "1"}}
            if here:
                # The running Ray may be of another checkout. Ray (2.60) does not quote this path.
                runtime["py_executable"] = shlex.quote(sys.executable)
            else:
                # The cluster's image has the libraries; the code comes with the submission.
                runtime["py_modules"] = [str(Path(ardm.__file__).parent)]
            submitted, after = round(time.time(), 3), run.newest_attempt()
            driver = [python, "-m", "ardm.cluster.driver", run.store.uri, run.name, name]
            _hand_over(
                client,
                entrypoint=shlex.join(driver),
                submission_id=name,
                runtime_env=runtime,
                metadata={"job": run.name, "store": run.store.uri},
            )
    local_ray = own_ray() if local.is_ours(address) else None
    submission = Submission(address, name, submitted, after, local_ray)
    run.store.write(run.submission, json.dumps(asdict(submission)).encode())
    return submission


def _new_id(client: JobSubmissionClient, run: Run) -> str:
    """The next free submission id of a run that nobody trains here."""
    names = [job.submission_id for job in client.list_jobs()]
    of_run = [name for name in names if name and name.rpartition("-")[0] == run.name]
    for name in of_run:
        if client.get_job_status(name) in RUNNING:
            raise JobFailed(
                f"run {run.name} is being trained already, as {name}; `ardm stop {run.name}` first"
            )
    number = 1 + max((int(n.rpartition("-")[2]) for n in of_run if n[-1].isdigit()), default=0)
    return f"{run.name}-{number}"


def newest(run: Run) -> Submission | None:
    """The last submission of a run, as recorded in its directory."""
    record = run.store.read_record(run.submission) or {}
    address, name = events.text(record, "address"), events.text(record, "submission_id")
    if address is None or name is None:  # torn, or of another version
        return None
    submitted, after = events.number(record, "submitted"), events.whole(record, "after")
    return Submission(address, name, submitted, after, events.text(record, "local_ray"))


def status(submission: Submission) -> str | None:
    """Ray's status of a submission; None if the server cannot be reached or does not know it."""
    try:
        with connected(submission.address, submission.local_ray) as client:
            return str(client.get_job_status(submission.submission_id).value)
    except (InputError, RuntimeError):
        return None


def end(submission: Submission) -> None:
    """Have the job server end the driver of a submission."""
    with connected(submission.address, submission.local_ray) as client:
        client.stop_job(submission.submission_id)


def logs(submission: Submission) -> str:
    """The driver's output so far."""
    with connected(submission.address, submission.local_ray) as client:
        return str(client.get_job_logs(submission.submission_id))


def ray_job(command: str, submission: Submission) -> str:
    """A shell command that asks Ray about a submission, with the variables that it needs.

    Args:
        command: subcommand of `ray job`, such as `status`.
        submission: the submission.
    """
    ray = interpreter.script("ray")
    settings = clear_path() if ports.is_here(submission.address) else {}
    if local.is_ours(submission.address):
        settings |= access.settings()
    assignments = [
        f"{name}={shlex.quote(value)}"
        for name, value in settings.items()
        if value or name in os.environ
    ]
    job = [ray, "job", command, "--address", submission.address, submission.submission_id]
    return " ".join([*assignments, shlex.join(job)])


@contextmanager
def _environment(submission: str, *, here: bool) -> Iterator[dict[str, str]]:
    """Variables that Ray sets for a job; the others go to a private file, removed on an error."""
    if not here:
        yield {}
        return
    shell_variables.sweep()
    file = shell_variables.write(submission, shell_variables.private(os.environ))
    try:
        yield shell_variables.visible(os.environ) | {shell_variables.FILE: str(file)}
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _hand_over(client: JobSubmissionClient, **job: Any) -> None:
    """Submit a job, retried while a head node that has just started has no agent for jobs yet."""
    retrying = Retrying(
        retry=retry_if_exception(lambda error: "No available agent" in str(error)),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(START_PATIENCE),
        reraise=True,
    )
    try:
        retrying(client.submit_job, **job)
    except RuntimeError as error:
        raise JobFailed(f"the job server refuses the job: {error}") from error


@dataclass(frozen=True)
class Stopped:
    """The result of a request to stop a run.

    Attributes:
        attempt: number of the attempt that was asked to stop; None if none was running.
        ended: how that attempt ended; None if it did not end in time.
        submission: id of the submission that was ended; None if none was running.
    """

    attempt: int | None
    ended: Ended | None
    submission: str | None


def stop(run: Run, patience: float) -> Stopped:
    """Ask the newest attempt to save and end, and end its submission.

    Args:
        run: the run.
        patience: seconds to wait for the last save.

    Raises:
        NotFound: the run does not exist.
    """
    registry.read_spec(run)
    submission = newest(run)
    runs = submission is not None and status(submission) in ("PENDING", "RUNNING")
    before = submission.after or 0 if submission and runs else 0
    # An attempt older than the submission is not part of it, even if its end was never recorded.
    number = control.request_stop(run) if run.newest_attempt() > before else None
    ended = control.wait_for_end(run, number, patience) if number else None
    if submission and runs:
        end(submission)
        if number is None and run.newest_attempt() > before:
            # An attempt began meanwhile; the driver asks it to stop.
            number = run.newest_attempt()
            ended = control.wait_for_end(run, number, patience)
    return Stopped(number, ended, submission.submission_id if submission and runs else None)

"""Submitting a run to Ray's job server, asking the server about it, and having the run stop."""

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ray.job_submission import JobStatus, JobSubmissionClient

import ardm
from ardm.cluster import access, interpreter, local, ports, shell_variables
from ardm.cluster.job_server import JobServer, clear_path, connected, own_ray
from ardm.errors import InputError, JobFailed
from ardm.runner import control
from ardm.runner.context import Ended
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store

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
    local_ray: str | None = None
    """Of a local Ray that ardm started: a digest of its token. No other Ray is asked about it."""


def require(server: JobServer, store: Store, *, shared: bool = False) -> None:
    """Make sure that a server answers and that its cluster can reach a store.

    Args:
        server: the server.
        store: the store.
        shared: whether a directory is known to be the same one on every machine of the cluster.

    Raises:
        InputError: with the reason.
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
        run: opened.
        server: which `require` has tried.

    Returns:
        The submission, which is also noted in the run.

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
                # Ray may be that of another checkout. Ray (2.60) gives this to a shell as it is.
                runtime["py_executable"] = shlex.quote(sys.executable)
            else:
                # The cluster's image has the libraries; the code is the one that was submitted.
                runtime["py_modules"] = [str(Path(ardm.__file__).parent)]
            asked, after = round(time.time(), 3), max(run.attempts(), default=0)
            driver = [python, "-m", "ardm.cluster.driver", run.store.uri, run.name, name]
            _hand_over(
                client,
                entrypoint=shlex.join(driver),
                submission_id=name,
                runtime_env=runtime,
                metadata={"job": run.name, "store": run.store.uri},
            )
    own = own_ray() if local.is_ours(address) else None
    made = Submission(address, name, asked, after, own)
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
    record = run.store.read_record(run.submission) or {}
    known = {field.name: record[field.name] for field in fields(Submission) if field.name in record}
    try:
        found = Submission(**known)
    except TypeError:  # torn, or of another version
        return None
    return found if isinstance(found.address, str) else None


def status(submission: Submission) -> str | None:
    """What the job server says of a submission; None if it cannot be reached or knows nothing."""
    try:
        with connected(submission.address, submission.local_ray) as client:
            return str(client.get_job_status(submission.submission_id).value)
    except (InputError, RuntimeError):
        return None


def end(submission: Submission) -> None:
    """Have the job server end a driver."""
    with connected(submission.address, submission.local_ray) as client:
        client.stop_job(submission.submission_id)


def logs(submission: Submission) -> str:
    """The driver's output so far."""
    with connected(submission.address, submission.local_ray) as client:
        return str(client.get_job_logs(submission.submission_id))


def ray_job(command: str, submission: Submission) -> str:
    """A line for a shell with which Ray's own command line reaches the job server.

    Args:
        command: of `ray job`, such as `status`.
        submission: the job.
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
    """What Ray is to set for a job; the rest is in a private file, unless the block fails."""
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


@dataclass(frozen=True)
class Stopped:
    """What became of a request to stop.

    Attributes:
        attempt: that was asked; None if none was running.
        ended: how it ended; None if it did not end in time.
        submission: that was stopped.
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
        NotFound: no such run.
    """
    registry.read_spec(run)
    made = newest(run)
    runs = made is not None and status(made) in ("PENDING", "RUNNING")
    before = made.after or 0 if made and runs else 0
    # An attempt from before the submission has no part in it, even if it never said that it ended.
    number = control.request_stop(run) if max(run.attempts(), default=0) > before else None
    ended = control.wait_for_end(run, number, patience) if number else None
    if made and runs:
        end(made)
        if number is None and max(run.attempts(), default=0) > before:
            # It began meanwhile; the driver asks it to stop.
            number = max(run.attempts(), default=0)
            ended = control.wait_for_end(run, number, patience)
    return Stopped(number, ended, made.submission_id if made and runs else None)

"""The end of an idle head: a machine of Google's cloud deletes itself once nothing needs it."""

import logging
import os
import time
from collections.abc import Callable

from google.auth.compute_engine import Credentials
from google.auth.exceptions import GoogleAuthError
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from httplib2 import HttpLib2Error
from ray.job_submission import JobStatus
from ray.util.state import list_nodes

from ardm.cluster import job_server, node_agent
from ardm.errors import InputError, JobFailed

log = logging.getLogger(__name__)

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"
"""Environment variable that replaces the address of Compute Engine; `gcloud` reads it as well."""

LOOK = 30.0
"""Seconds between two looks at the cluster."""

RETRIES = 3
"""How often a request to Google is repeated after an error that may pass."""

_ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}


def wait(
    after: float,
    need: Callable[[], str | None],
    alive: Callable[[], bool],
    look: float = LOOK,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Wait until nothing has needed the cluster for some time without a break.

    Args:
        after: the time, in seconds.
        need: returns what needs the cluster now, in a few words; None if nothing does. If it fails,
            the cluster counts as needed.
        alive: returns whether the Ray node of this machine is alive.
        look: seconds between two looks.
        clock: returns monotonic seconds.
        sleep: waits for a number of seconds.

    Returns:
        True after that time; False if the Ray node has ended before.
    """
    since: float | None = None
    before: str | None = "?"
    while alive():
        try:
            needed = need()
        except Exception as error:  # Ray's clients have errors of many kinds
            needed = f"unknown ({type(error).__name__}: {error})"
        if needed:
            since = None
        elif since is None:
            since = clock()
        elif clock() - since >= after:
            return True
        if needed != before:
            log.info("the cluster is needed by: %s", needed or "nothing")
        before = needed
        sleep(min(look, after))
    return False


def needed_by(dashboard: str) -> str | None:
    """What needs a cluster: a job or a driver that has not ended, or a machine beside the head.

    The autoscaler ends idle workers minutes after their last job. One that it keeps (`min_workers`)
    would be left without a head, and nobody would delete it.

    Args:
        dashboard: the address of the job server.

    Returns:
        What needs it, in a few words; None if nothing does.

    Raises:
        InputError: the server does not answer or asks for a token.
    """
    with job_server.connected(dashboard) as client:
        jobs = [job for job in client.list_jobs() if job.status not in _ENDED]
        if jobs:
            return ", ".join(sorted(str(job.submission_id or job.job_id) for job in jobs))
        nodes = list_nodes(address=dashboard)
    # Not by Ray's filter (2.60), which fails when it filters anything out.
    others = sum(node.state == "ALIVE" and not node.is_head_node for node in nodes)
    return f"{others} other machine{'s' * (others > 1)}" if others else None


def this_machine() -> str:
    """The machine that this process runs on, as `projects/P/zones/Z/instances/NAME`.

    Raises:
        InputError: this is no machine of Google's cloud.
    """
    try:
        zone, name = (node_agent.read(key, "none yet").text for key in ("zone", "name"))
    except OSError as error:
        raise InputError(
            "expected a machine of Google's cloud, which can delete itself; no metadata server "
            f"answers at {node_agent.host()} ({error})"
        ) from error
    return f"{zone}/instances/{name}"


def delete(machine: str) -> None:
    """Delete a machine, with the rights of the account of the machine that this process runs on.

    Args:
        machine: its name, as `this_machine` returns it.

    Raises:
        JobFailed: Google does not delete it.
    """
    _, project, _, zone, _, name = machine.split("/")
    endpoint = os.environ.get(ENDPOINT)
    options = {"api_endpoint": endpoint} if endpoint else None
    try:
        with build("compute", "v1", credentials=Credentials(), client_options=options) as compute:
            request = compute.instances().delete(project=project, zone=zone, instance=name)
            request.execute(num_retries=RETRIES)
    except (GoogleAuthError, HttpError, HttpLib2Error, OSError) as error:
        raise JobFailed(
            f"{machine} is idle and could not be deleted: {error}. Its account needs the right "
            "compute.instances.delete; until it is deleted, the machine costs money"
        ) from error


def serve(
    after: float, machine: str, need: Callable[[], str | None], alive: Callable[[], bool]
) -> None:
    """Delete a machine once it is idle, unless its Ray node ends before.

    If the deletion fails, it is tried again after the same time.

    Args:
        after: time without need (seconds).
        machine: the machine that is deleted.
        need: see `wait`.
        alive: see `wait`.
    """
    while wait(after, need, alive):
        try:
            delete(machine)
        except JobFailed as error:
            log.error("%s; trying again after %g idle minutes", error, after / 60)
            continue
        log.info("idle for %g minutes; deleted %s", after / 60, machine)
        return
    log.info("the Ray node has ended, and this process with it")

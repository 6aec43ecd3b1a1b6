"""The interface of ardm for programs and notebooks; the command line parses and prints on it.

What takes seconds to import, as JAX and Ray do, is imported on use.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING

from ardm.job.spec import JobSpec
from ardm.job.spec import load as load_spec
from ardm.opening import Report, is_complete, open_or_create, store_address, usable_store
from ardm.runner import agreement
from ardm.runner.context import Notice, StepRecord
from ardm.runs import Run
from ardm.store.run_directory import Run as RunDirectory
from ardm.store.store import Store

if TYPE_CHECKING:
    from ardm.cluster.submission import Submission
    from ardm.pretrained import Pretrained
    from ardm.runner.context import Ended

log = logging.getLogger(__name__)


def load_job(file: str | Path, overrides: Sequence[str] = ()) -> JobSpec:
    """Read a job file.

    >>> job = ardm.load_job("jobs/smoke.yaml", ["training.steps=50"])
    >>> job.training.steps
    50

    Args:
        file: the job file.
        overrides: changes to it, as `section.key=value`.

    Raises:
        SpecError: with all faults of the file at once.
    """
    return load_spec(Path(file), overrides)


@dataclass(frozen=True)
class Submitted:
    """A run that was handed to Ray.

    Attributes:
        run: the run.
        submission: with `address` and `submission_id`; None if the run was complete already.
    """

    run: Run
    submission: "Submission | None"


def load(target: str | Path, *, store: str | None = None) -> "Pretrained":
    """Load a trained model: the newest checkpoint of a run that verifies, or a pulled one.

    >>> model = ardm.load("hello", store="runs")
    >>> model.sample(4, budget=10).images.shape
    (4, 28, 28, 1)

    Args:
        target: the name of a run, or a directory that `pull` made.
        store: of the run; default: ARDM_STORE, or `./runs`.

    Raises:
        NotFound: no such run or directory, or no checkpoint of it can be used.
    """
    from ardm import loading

    return loading.load(target, Store(store_address(store)))


def train(
    job: JobSpec,
    *,
    store: str | None = None,
    run: str | None = None,
    override: bool = False,
    on_step: Callable[[StepRecord], None] | None = None,
) -> Run:
    """Train in this process until the job is done or a signal comes; a run that exists goes on.

    >>> job = ardm.load_job("jobs/smoke.yaml", ["training.steps=20"])
    >>> run = ardm.train(job, run="short", store="runs")
    >>> run.status()["step"]
    20

    SIGTERM, SIGHUP and Ctrl-C save and end, and `status` says so.

    Args:
        job: from `load_job`.
        store: where the run lives; default: ARDM_STORE, or `./runs`.
        run: its name; default: a new run.
        override: go on with another job than the run's.
        on_step: called after every step; an exception that it raises ends the training.

    Returns:
        The run, completed or saved.

    Raises:
        InputError: the store, the data or the name cannot be used.
        JobFailed: the job failed, or another attempt has taken the run over.
    """
    from ardm.runner.attempt import attempt_here
    from ardm.runner.context import raise_if_failed
    from ardm.runner.interrupts import saving_first

    opened = open_or_create(job, usable_store(store_address(store)), run, override=override)
    notice = Notice()
    with saving_first(notice):
        ended = attempt_here(opened, job, notice, on_step)
    raise_if_failed(ended)
    return Run(opened)


def train_steps(
    job: JobSpec,
    *,
    store: str | None = None,
    run: str | None = None,
    override: bool = False,
) -> Iterator[StepRecord]:
    """Train in this process, step by step: see `train`.

    >>> job = ardm.load_job("jobs/smoke.yaml", ["training.steps=20"])
    >>> for step in ardm.train_steps(job, run="steps", store="runs"):
    ...     if step.step % 10 == 0:
    ...         print(step.step)
    10
    20

    Training runs beside the loop, at most one step ahead of it. Leaving the loop saves and ends.

    Yields:
        Every finished step.
    """
    from ardm.runner.attempt import attempt_here
    from ardm.runner.context import raise_if_failed

    opened = open_or_create(job, usable_store(store_address(store)), run, override=override)
    notice = Notice()
    records: Queue[StepRecord | None] = Queue(1)
    ended: list[Ended] = []

    def work() -> None:
        try:
            ended.append(attempt_here(opened, job, notice, records.put))
        finally:
            records.put(None)

    thread = Thread(target=work, name="ardm-train")
    thread.start()
    try:
        while (record := records.get()) is not None:
            yield record
    finally:
        notice.reason = notice.reason or "the loop over the steps was left"
        while thread.is_alive():
            while not records.empty():
                records.get()
            thread.join(0.05)
    if ended:
        raise_if_failed(ended[0])


def submit(
    job: JobSpec,
    *,
    store: str | None = None,
    run: str | None = None,
    address: str | None = None,
    cluster: str | Path | None = None,
    shared: bool = False,
    override: bool = False,
    report: Report = log.info,
) -> Submitted:
    """Submit a job to Ray; a local Ray is started where none runs. The same run goes on.

    >>> job = ardm.load_job("jobs/binmnist.yaml")
    >>> ardm.submit(job, run="mine", store="runs").submission.submission_id  # doctest: +SKIP
    'mine-1'

    Args:
        job: from `load_job`.
        store: where the run lives; default: ARDM_STORE, or `./runs`.
        run: its name; default: a new run.
        address: of a Ray job server, as in RAY_ADDRESS; default: the local Ray.
        cluster: a cluster launcher's file, whose cluster is up.
        shared: whether the store is a directory that all machines have mounted.
        override: go on with another job than the run's.
        report: called with what the user should know.

    Raises:
        InputError: the store or the job server cannot be used; nothing was created.
    """
    from ardm.cluster import submission
    from ardm.cluster.job_server import has_gpus, job_server

    if cluster and has_gpus(Path(cluster)):
        # Its GPUs come only when they are asked for, so `auto` would not see them.
        scaling = job.scaling.model_copy(update={"accelerator": "gpu"})
        job = job.model_copy(update={"scaling": scaling})
    place = usable_store(store_address(store), report)
    named = RunDirectory(place, run) if run else None
    if named and place.exists(named.job_file) and is_complete(named, job):
        return Submitted(Run(open_or_create(job, place, run, override=override)), None)
    if named and override:
        agreement.require_steps_left(named, job)
    with job_server(address, Path(cluster) if cluster else None, report) as server:
        # Only then is anything created: an empty run would be the newest one.
        submission.require(server, place, shared=shared)
        change = agreement.upcoming_rate_change(named, job) if named and override else None
        opened = open_or_create(job, place, run, override=override, report=report)
        if change:
            report(f"run {opened.name}: {change}")
        return Submitted(Run(opened), submission.submit(opened, server))

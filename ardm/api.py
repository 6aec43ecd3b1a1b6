"""The interface of ardm for programs and notebooks, on which the command line is built.

Modules that take seconds to import, such as JAX and Ray, are imported on use.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING

from ardm import cells
from ardm.job.spec import JobSpec
from ardm.job.spec import load as load_spec
from ardm.job.spec import loads as load_text
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
        file: path of the job file.
        overrides: changes to the job file, each as `section.key=value`.

    Raises:
        SpecError: the job file has faults; the message lists all of them.
    """
    return load_spec(Path(file), overrides)


def parse_job(text: str, overrides: Sequence[str] = ()) -> JobSpec:
    """Read a job from the text of a job file, as it stands in a notebook.

    >>> ardm.parse_job("{job: digits, training: {steps: 500}}").training.steps
    500

    Args:
        text: the text of a job file.
        overrides: changes to it, each as `section.key=value`.

    Raises:
        SpecError: the job has faults; the message lists all of them.
    """
    return load_text(text, "the job", overrides)


def propose_job(name: str, data: str | Path) -> str:
    """Look at images, texts or recordings, and write a commented job with a model that fits them.

    >>> text = ardm.propose_job("mine", "texts")
    >>> ardm.parse_job(text).data.dataset
    'text'

    Args:
        name: name of the job.
        data: a folder of images, texts or WAV files, or one text; a path or an fsspec URL.

    Returns:
        The text of a job file, for `parse_job`.

    Raises:
        InputError: the name is none, or there is nothing that could be trained on.
    """
    from ardm.job import proposal, template

    found = proposal.propose(proposal.absolute(str(data)))
    return template.job_file(name, found, Path(f"{name}.yaml"))


@dataclass(frozen=True)
class Submitted:
    """A run that was handed to Ray.

    Attributes:
        run: the run.
        submission: the submission, with `address` and `submission_id`; None if the run was already
            complete.
    """

    run: Run
    submission: "Submission | None"


def load(target: str | Path, *, store: str | None = None) -> "Pretrained":
    """Load a trained model from the newest checkpoint of a run that verifies, or from a pulled one.

    >>> model = ardm.load("hello", store="runs")
    >>> model.sample(4, budget=10).images.shape
    (4, 28, 28, 1)

    Args:
        target: name of a run, or a directory that `pull` wrote.
        store: address of the run's store; default: ARDM_STORE, or `./runs`.

    Raises:
        NotFound: there is no such run or directory, or none of its checkpoints can be used.
    """
    from ardm import loading

    return loading.load(target, Store(store_address(store)))


def train(
    job: JobSpec,
    *,
    store: str | None = None,
    run: str | None = None,
    override: bool = False,
    show: bool = False,
    on_step: Callable[[StepRecord], None] | None = None,
) -> Run:
    """Train in this process until the job is done or a signal arrives; an existing run goes on.

    >>> job = ardm.load_job("jobs/smoke.yaml", ["training.steps=20"])
    >>> run = ardm.train(job, run="short", store="runs")
    >>> run.status()["step"]
    20

    On SIGTERM, SIGHUP or Ctrl-C (the stop button of a notebook) the run is saved and ends, and
    `status` reports the signal.

    Args:
        job: the job, from `load_job`.
        store: address of the run's store; default: ARDM_STORE, or `./runs`.
        run: name of the run; default: a new run.
        override: whether to go on with a job that differs from the run's.
        show: whether to show progress and pictures in the cell of a notebook.
        on_step: called after every step; an exception that it raises ends the training.

    Returns:
        The run, which is completed or saved.

    Raises:
        InputError: the store, the data or the name cannot be used.
        JobFailed: the job failed, or another attempt has taken the run over.
    """
    from ardm.runner.attempt import attempt_here
    from ardm.runner.context import raise_if_failed
    from ardm.runner.interrupts import saving_first

    opened = open_or_create(job, usable_store(store_address(store)), run, override=override)
    notice = Notice()
    shown = cells.progress(opened, opened.newest_attempt()) if show else nullcontext()
    with saving_first(notice), shown:
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
    """Train in this process and yield every step: see `train`.

    >>> job = ardm.load_job("jobs/smoke.yaml", ["training.steps=20"])
    >>> for step in ardm.train_steps(job, run="steps", store="runs"):
    ...     if step.step % 10 == 0:
    ...         print(step.step)
    10
    20

    Training runs on its own thread, at most one step ahead of the loop. If the loop is left, the
    run is saved and ends.

    Yields:
        The record of every finished step.
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
    """Submit a job to Ray, by default to a local Ray, which is started if none runs.

    An existing run goes on.

    >>> job = ardm.load_job("jobs/binmnist.yaml")
    >>> ardm.submit(job, run="mine", store="runs").submission.submission_id  # doctest: +SKIP
    'mine-1'

    Args:
        job: the job, from `load_job`.
        store: address of the run's store; default: ARDM_STORE, or `./runs`.
        run: name of the run; default: a new run.
        address: address of a Ray job server, as in RAY_ADDRESS; default: the local Ray.
        cluster: path of the cluster launcher's file, if the job goes to its cluster, which is up.
        shared: whether the store is a directory that all machines of the cluster have mounted.
        override: whether to go on with a job that differs from the run's.
        report: called with each sentence for the user.

    Raises:
        InputError: the store or the job server cannot be used; nothing was created.
    """
    from ardm.cluster import submission
    from ardm.cluster.job_server import has_gpus, job_server

    if cluster and has_gpus(Path(cluster)):
        # Its GPU nodes start only when GPUs are requested, so `auto` would not see them.
        scaling = job.scaling.model_copy(update={"accelerator": "gpu"})
        job = job.model_copy(update={"scaling": scaling})
    run_store = usable_store(store_address(store), report)
    named = RunDirectory(run_store, run) if run else None
    if named and run_store.exists(named.job_file) and is_complete(named, job):
        return Submitted(Run(open_or_create(job, run_store, run, override=override)), None)
    if named and override:
        agreement.require_steps_left(named, job)
    with job_server(address, Path(cluster) if cluster else None, report) as server:
        # The run is created only after this: if it failed, an empty run would be the newest one.
        submission.require(server, run_store, shared=shared)
        change = agreement.upcoming_rate_change(named, job) if named and override else None
        opened = open_or_create(job, run_store, run, override=override, report=report)
        if change:
            report(f"run {opened.name}: {change}")
        return Submitted(Run(opened), submission.submit(opened, server))

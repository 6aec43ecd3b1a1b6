"""The interface of ardm for programs and notebooks; the command line parses and prints on it.

What takes seconds to import, as JAX and Ray do, is imported on use.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

from ardm.events import event_log
from ardm.events.events import Event
from ardm.job.spec import JobSpec
from ardm.job.spec import load as load_spec
from ardm.opening import Report, is_complete, open_or_create, store_address, usable_store
from ardm.runner import agreement
from ardm.runner.context import Notice, StepRecord
from ardm.store import registry
from ardm.store.run_directory import Run as RunDirectory
from ardm.store.store import Store

if TYPE_CHECKING:
    from ardm.cluster.stopping import Stopped
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
class Run:
    """A run in a store, wherever it is trained.

    >>> run = ardm.open_run("hello", store="runs")
    >>> run.status()["state"]
    'completed'
    >>> run.pull("pulled/hello")["step"]
    100

    Attributes:
        directory: its files.
    """

    directory: RunDirectory

    @property
    def name(self) -> str:
        """Its name in the store."""
        return self.directory.name

    @property
    def store(self) -> str:
        """The address of the store."""
        return self.directory.store.uri

    @property
    def spec(self) -> JobSpec:
        """What is trained."""
        return registry.read_spec(self.directory)

    def status(self, *, verify: bool = True) -> dict[str, Any]:
        """What the run is doing, as `ardm status --json` prints it.

        Args:
            verify: whether to read the newest checkpoint back.

        Raises:
            NotFound: no such run.
        """
        from ardm.analysis.status import status

        registry.read_spec(self.directory)
        ray: dict[str, Any] = {}
        if self.directory.store.exists(self.directory.submission):
            from ardm.cluster import submission

            if newest := submission.newest(self.directory):
                ray = asdict(newest) | {"status": submission.status(newest)}
        return status(self.directory, ray, verify=verify)

    def report(self, on_demand_price: float | None = None) -> dict[str, Any]:
        """Goodput, interruptions, saves and cost, as `ardm report --json` prints them.

        Args:
            on_demand_price: per worker-hour; adds what the run would have cost on demand.

        Raises:
            NotFound: no such run.
        """
        from ardm.analysis.report import report

        return report(self.directory, on_demand_price)

    def events(self, attempt: int | None = None) -> list[Event]:
        """What happened, in order.

        >>> from ardm.events import kinds
        >>> [event.step for event in run.events() if isinstance(event, kinds.Ended)]
        [100]

        Args:
            attempt: its number; default: all attempts.

        Returns:
            Events of the classes in `ardm.events.kinds`, each with at least `event` (the name of
            its kind), `time` (seconds since 1970) and `attempt`.
        """
        registry.read_spec(self.directory)
        numbers = self.directory.attempts() if attempt is None else [attempt]
        return [
            event.model_copy(update={"attempt": number})
            for number in numbers
            for event in event_log.read(self.directory, number)
        ]

    def stop(self, patience: float = 60.0) -> "Stopped":
        """Have the run save and end; train or submit it again to go on.

        Args:
            patience: seconds to wait for the last save.

        Raises:
            NotFound: no such run.
        """
        from ardm.cluster.stopping import stop

        return stop(self.directory, patience)

    def pull(self, to: str | Path | None = None) -> dict[str, Any]:
        """Copy the newest verified checkpoint, with all that is needed to use it alone.

        Args:
            to: a new directory, or one that an earlier pull made; default: `pulled/<name>`.

        Returns:
            `run`, `step`, `digest`, `to`, and `skipped`: the checkpoints that were passed over.

        Raises:
            NotFound: no such run, or no checkpoint that can be used yet.
            InputError: `to` holds something else.
        """
        from ardm.checkpoint.pull import pull

        return pull(self.directory, Path(to) if to else Path("pulled") / self.name)

    def load(self) -> "Pretrained":
        """The newest verified checkpoint, ready for use: see `ardm.load`."""
        from ardm.pretrained import load

        return load(self.name, self.directory.store)


@dataclass(frozen=True)
class Submitted:
    """A run that was handed to Ray.

    Attributes:
        run: the run.
        submission: with `address` and `submission_id`; None if the run was complete already.
    """

    run: Run
    submission: "Submission | None"


def open_run(name: str, *, store: str | None = None) -> Run:
    """A run of a store.

    >>> ardm.open_run("hello", store="runs").status()["state"]
    'completed'

    Args:
        name: of the run.
        store: a directory or an address such as `gs://bucket/runs`; default: ARDM_STORE, or
            `./runs`.

    Raises:
        NotFound: no such run; the message names those that exist.
    """
    run = Run(RunDirectory(Store(store_address(store)), name))
    registry.read_spec(run.directory)
    return run


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
    from ardm import pretrained

    return pretrained.load(target, Store(store_address(store)))


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
    from ardm.cluster import servers, submission
    from ardm.cluster.servers import job_server

    if cluster and servers.has_gpus(Path(cluster)):
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
        change = agreement.foreseen(named, job) if named and override else None
        opened = open_or_create(job, place, run, override=override, report=report)
        if change:
            report(f"run {opened.name}: {change}")
        return Submitted(Run(opened), submission.submit(opened, server))

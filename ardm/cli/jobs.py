"""Commands that start and end training: validate, submit, train, stop, down."""

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ardm import api, secrecy
from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.options import (
    DEFAULT_STORE,
    Address,
    AsJson,
    JobFile,
    JobName,
    NewRun,
    Override,
    Overrides,
    RunName,
    StoreUri,
    find_run,
)
from ardm.data.config import medium
from ardm.errors import Interrupted, JobFailed, StoreUnusable
from ardm.events.events import Outcome
from ardm.job.spec import JobSpec, load
from ardm.opening import open_or_create, usable_store

if TYPE_CHECKING:
    from ardm.cluster.submission import Submission


@errors_as_messages
def validate(
    files: Annotated[list[Path], typer.Argument(help="The job files.")],
    set_: Overrides = None,
    json: AsJson = False,
) -> None:
    """Check job files and their data without starting a job, and report all errors."""
    specs = [load(file, set_ or ()) for file in files]
    results = []
    for file, spec in zip(files, specs, strict=True):
        data = _data_report(file, spec)
        results.append(spec.model_dump(mode="json") | ({"data_report": data} if data else {}))
        if not json:
            say(f"{file}: job {spec.job} is valid")
    if json:
        show(results)


@partial(errors_as_messages, unreachable=StoreUnusable)
def submit(
    file: JobFile,
    store: StoreUri = DEFAULT_STORE,
    run: NewRun = None,
    set_: Overrides = None,
    address: Address = None,
    cluster: Annotated[
        Path | None,
        typer.Option(help="File of the Ray cluster launcher; its cluster must be running."),
    ] = None,
    shared: Annotated[
        bool,
        typer.Option(help="Declare that all machines have mounted the directory of the store."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Number of workers, as --set scaling.workers=N.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Show the progress until the run ends.")] = False,
    override: Override = False,
    json: AsJson = False,
) -> None:
    """Submit a job to Ray; a local Ray is started if none is running."""
    added = [] if workers is None else [f"scaling.workers={workers}"]
    spec = api.load_job(file, [*(set_ or ()), *added])
    submitted = api.submit(
        spec,
        store=store,
        run=run,
        address=address,
        cluster=cluster,
        shared=shared,
        override=override,
        report=say,
    )
    name, submission = submitted.run.name, submitted.submission
    examples = medium(spec.data).examples
    if submission is None:
        say(f"run {name} is already complete; `ardm sample {name}` draws {examples} from it")
    if json:
        record = asdict(submission) if submission else {}
        show({"run": name, **{key: record.get(key) for key in ("submission_id", "address")}})
    elif submission:
        _print_next(submitted.run, submission, examples)
    if follow and submission:
        from ardm.cli.watching import follow_run

        follow_run(submitted.run)


@partial(errors_as_messages, unreachable=StoreUnusable)
def train(
    file: JobFile,
    store: StoreUri = DEFAULT_STORE,
    run: NewRun = None,
    set_: Overrides = None,
    override: Override = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
    json: AsJson = False,
) -> None:
    """Train in this process, without Ray; Ctrl-C saves a checkpoint and ends."""
    spec = api.load_job(file, set_ or ())
    opened = open_or_create(spec, usable_store(store, say), run, override=override, report=say)
    from ardm.cli.progress import ProgressBar
    from ardm.runner.attempt import attempt_here
    from ardm.runner.context import Notice, raise_if_failed
    from ardm.runner.interrupts import saving_first

    say(f"run {opened.name} in {opened.store.uri}")
    # `force`, since the import of a library may have set up logging.
    handlers = [secrecy.log_to(logging.StreamHandler())]
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    notice = Notice()
    bar = ProgressBar(opened, shown=progress and not json, after=opened.newest_attempt())
    with saving_first(notice), bar:
        ended = attempt_here(opened, spec, notice)
    if json:
        show({"run": opened.name, "outcome": ended.outcome, "step": ended.step})
    if ended.outcome in (Outcome.PREEMPTED, Outcome.STOPPED):
        raise Interrupted(
            f"{ended.reason} at step {ended.step}; go on with the same command and "
            f"--run {opened.name}"
        )
    raise_if_failed(ended)
    examples = medium(spec.data).examples
    say(f"{ended.reason}; `ardm sample {opened.name}` draws {examples} from it")


@errors_as_messages
def stop(
    run: RunName = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for the final save.")] = 60.0,
    json: AsJson = False,
) -> None:
    """Ask a run to save and stop; submit it again to continue it."""
    directory = find_run(store, run, job)
    stopped = api.Run(directory).stop(patience)
    if json:
        outcome = stopped.ended.outcome if stopped.ended else None
        show({"run": directory.name, "attempt": stopped.attempt, "outcome": outcome})
    if ended := stopped.ended:
        say(f"run {directory.name}: {ended.outcome} at step {ended.step}")
    elif stopped.attempt:
        raise JobFailed(
            f"attempt {stopped.attempt} of {directory.name} did not answer in {patience:.0f} s. "
            f"If `ardm status {directory.name}` shows that it is running, try again with a longer "
            "--patience. If it has died, there is nothing to stop; the run continues when it is "
            "submitted again"
        )
    elif stopped.submission:
        say(f"submission {stopped.submission} is stopped; it had not begun an attempt")
    else:
        say(f"run {directory.name} is not being trained")


@errors_as_messages
def down() -> None:
    """Stop the local Ray that `ardm submit` started, and nothing else."""
    from ardm.cluster import local

    ended = local.stop()
    say(
        f"stopped the local Ray at {ended.address}"
        if ended
        else "no local Ray is running that `ardm submit` started"
    )


def _data_report(file: Path, spec: JobSpec) -> dict[str, Any] | None:
    """Read the data of a job, and print and return a description; None if it is unreachable."""
    from ardm.data.dataset import load as load_data
    from ardm.data.folder import FolderUnreachable
    from ardm.errors import DataUnreachable

    if spec.data.source == "tfds":
        say(f"{file}: the data are not checked, because they are downloaded when training starts")
        return None
    try:
        data = load_data(spec.data)
    except (FolderUnreachable, DataUnreachable) as error:
        say(f"{file}: the data cannot be read here, so they are not checked ({error})")
        return None
    say(f"{file}: {data.describe()}")
    for warning in data.report.warnings():
        say(f"{file}: {warning}")
    return data.as_json()


def _print_next(run: api.Run, submission: "Submission", examples: str) -> None:
    from ardm.cluster.submission import ray_job

    say(f"run            {run.name}")
    say(f"submission id  {submission.submission_id}")
    say(f"store          {run.store}")
    say("")
    say("next commands:")
    say(f"  make watch RUN={run.name}     show the progress of the run")
    say(f"  make sample RUN={run.name}    draw {examples} from its newest checkpoint")
    say(f"  {ray_job('status', submission)}")


COMMANDS = (validate, submit, train, stop, down)

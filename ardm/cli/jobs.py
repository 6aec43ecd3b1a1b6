"""Commands that start and end training: validate, submit, train, stop, down."""

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ardm import api
from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.options import (
    DEFAULT_STORE,
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
from ardm.errors import Interrupted, JobFailed, StoreUnusable
from ardm.events.events import Outcome
from ardm.job.spec import JobSpec, load
from ardm.opening import newest_attempt, open_or_create, usable_store

if TYPE_CHECKING:
    from ardm.cluster.submission import Submission


@errors_as_messages
def validate(
    files: Annotated[list[Path], typer.Argument(help="Job files.")],
    set_: Overrides = None,
    json: AsJson = False,
) -> None:
    """Check job files and their images, and say what is wrong with them; nothing is started."""
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
    address: Annotated[
        str | None,
        typer.Option(envvar="RAY_ADDRESS", help="A Ray job server, http://host:8265."),
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="A cluster launcher's file; its cluster must be up.")
    ] = None,
    shared: Annotated[
        bool, typer.Option(help="The store is a directory that all machines have mounted.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Short for --set scaling.workers=N.")] = None,
    follow: Annotated[bool, typer.Option(help="Stay and show the progress.")] = False,
    override: Override = False,
    json: AsJson = False,
) -> None:
    """Submit a job to Ray; a local Ray is started where none runs. The same run goes on."""
    more = [] if workers is None else [f"scaling.workers={workers}"]
    submitted = api.submit(
        api.load_job(file, [*(set_ or ()), *more]),
        store=store,
        run=run,
        address=address,
        cluster=cluster,
        shared=shared,
        override=override,
        report=say,
    )
    name, made = submitted.run.name, submitted.submission
    if made is None:
        say(f"run {name} is complete already; `ardm sample {name}` draws from it")
    if json:
        fields = {"submission_id": None, "address": None} if made is None else asdict(made)
        show({"run": name, **{key: fields[key] for key in ("submission_id", "address")}})
    elif made:
        _print_next(submitted.run, made)
    if follow and made:
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
    """Train in this process, without Ray, on the same run directory. Ctrl-C saves and ends."""
    spec = api.load_job(file, set_ or ())
    opened = open_or_create(spec, usable_store(store, say), run, override=override, report=say)
    from ardm.cli.progress import ProgressBar
    from ardm.runner.attempt import attempt_here
    from ardm.runner.context import Notice, raise_if_failed
    from ardm.runner.interrupts import saving_first

    say(f"run {opened.name} in {opened.store.uri}")
    logging.basicConfig(level=logging.WARNING)
    notice = Notice()
    bar = ProgressBar(opened, shown=progress and not json, after=newest_attempt(opened))
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
    say(f"{ended.reason}; `ardm sample {opened.name}` draws from it")


@errors_as_messages
def stop(
    run: RunName = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for the last save.")] = 60.0,
    json: AsJson = False,
) -> None:
    """Have a run save and end; submit it again to go on."""
    found = find_run(store, run, job)
    stopped = api.Run(found).stop(patience)
    if json:
        outcome = stopped.ended.outcome if stopped.ended else None
        show({"run": found.name, "attempt": stopped.attempt, "outcome": outcome})
    if ended := stopped.ended:
        say(f"run {found.name}: {ended.outcome} at step {ended.step}")
    elif stopped.attempt:
        raise JobFailed(
            f"attempt {stopped.attempt} of {found.name} did not answer within {patience:.0f} s. If "
            f"`ardm status {found.name}` shows that it lives, ask again with a longer --patience; "
            "if it is dead, nothing is left to stop, and the run goes on when it is submitted again"
        )
    elif stopped.submission:
        say(f"submission {stopped.submission} is stopped; it had begun no attempt")
    else:
        say(f"run {found.name} is not being trained")


@errors_as_messages
def down() -> None:
    """Stop the local Ray that `ardm submit` started, and nothing else."""
    from ardm.cluster import local

    ended = local.stop()
    say(f"stopped the local Ray at {ended.address}" if ended else "no local Ray of ours runs")


def _data_report(file: Path, spec: JobSpec) -> dict[str, Any] | None:
    """Read the images of a job, say what they are, and return it; None if they are out of reach."""
    from ardm.data.dataset import load as load_data
    from ardm.data.folder import FolderUnreachable
    from ardm.errors import DataUnreachable

    if spec.data.source == "tfds":
        say(f"{file}: the images are downloaded when training starts, so they are not checked")
        return None
    try:
        data = load_data(spec.data)
    except (FolderUnreachable, DataUnreachable) as error:
        say(f"{file}: the images cannot be read here, so they are not checked ({error})")
        return None
    say(f"{file}: {data.describe()}")
    for warning in data.report.warnings():
        say(f"{file}: {warning}")
    return data.as_json()


def _print_next(run: api.Run, made: "Submission") -> None:
    from ardm.cluster import submission

    say(f"run            {run.name}")
    say(f"submission id  {made.submission_id}")
    say(f"store          {run.store}")
    say("")
    say("next:")
    say(f"  make watch RUN={run.name}     progress, here")
    say(f"  make sample RUN={run.name}    digits from the newest checkpoint")
    say(f"  {submission.ray_job('status', made)}")


COMMANDS = (validate, submit, train, stop, down)

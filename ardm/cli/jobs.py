"""Commands that start and end training: validate, submit, train, stop, down."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from ardm.runs import catalogue, continuation, control
from ardm.runs.layout import Run
from ardm.runs.spec import JobSpec, load
from ardm.runs.store import Store

if TYPE_CHECKING:
    from ardm.cluster.submission import JobServer, Submission


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
    from ardm.cluster import remote, submission

    more = [] if workers is None else [f"scaling.workers={workers}"]
    if cluster and remote.has_gpus(cluster):
        # Its GPUs come only when they are asked for, so `auto` would not see them.
        more.append("scaling.accelerator=gpu")
    spec, place = load(file, [*(set_ or ()), *more]), _store(store)
    named = Run(place, run) if run else None
    if named and place.exists(named.job_file) and _is_complete(named, spec):
        _open(spec, place, run, override=override)
        say(f"run {named.name} is complete already; `ardm sample {named.name}` draws from it")
        if json:
            show({"run": named.name, "submission_id": None, "address": None})
        return
    if named and override:
        continuation.require_steps_left(named, spec)
    with _job_server(address, cluster) as server:
        # Only then is anything created: an empty run would be the newest one.
        submission.require(server, place, shared=shared)
        change = continuation.foreseen(named, spec) if named and override else None
        opened = _open(spec, place, run, override=override)
        if change:
            say(f"run {opened.name}: {change}")
        made = submission.submit(opened, server)
    if json:
        show({"run": opened.name, "submission_id": made.submission_id, "address": made.address})
    else:
        _tell_next(opened, made)
    if follow:
        from ardm.cli.watching import follow_run

        follow_run(opened)


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
    spec = load(file, set_ or ())
    opened = _open(spec, _store(store), run, override=override)
    from ardm.cli.progress import ProgressBar
    from ardm.runs.outcome import to_error
    from ardm.runs.place import Notice, Place
    from ardm.runs.session import run_attempt
    from ardm.runs.signals import saving_first
    from ardm.training.cores import cores_here
    from ardm.training.group import Alone
    from ardm.training.lanes import use_cores

    use_cores(cores_here())
    say(f"run {opened.name} in {opened.store.uri}")
    logging.basicConfig(level=logging.WARNING)
    notice = Notice()
    bar = ProgressBar(opened, shown=progress and not json, after=_newest(opened))
    with saving_first(notice), bar:
        ended = run_attempt(opened, spec, Place(Alone(), notice, {"by": "ardm train"}))
    if json:
        show({"run": opened.name, "outcome": ended.kind, "step": ended.step})
    if ended.kind in ("preempted", "stopped"):
        raise Interrupted(
            f"{ended.reason} at step {ended.step}; go on with the same command and "
            f"--run {opened.name}"
        )
    if error := to_error(ended):
        raise error
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
    from ardm.cluster import submission

    found = find_run(store, run, job)
    catalogue.read_spec(found)
    made = submission.newest(found)
    runs = made is not None and submission.status(made) in ("PENDING", "RUNNING")
    before = made.after or 0 if made and runs else 0
    # An attempt from before the submission has no part in it, even if it never said that it ended.
    number = control.request_stop(found) if _newest(found) > before else None
    event = control.wait_for_end(found, number, patience) if number else None
    if made and runs:
        submission.stop(made)
        if number is None and _newest(found) > before:
            # It began meanwhile; the driver asks it to stop.
            number = _newest(found)
            event = control.wait_for_end(found, number, patience)
    if json:
        outcome = event["outcome"] if event else None
        show({"run": found.name, "attempt": number, "outcome": outcome})
    if event:
        say(f"run {found.name}: {event['outcome']} at step {event['step']}")
    elif number:
        raise JobFailed(
            f"attempt {number} of {found.name} did not answer within {patience:.0f} s. If "
            f"`ardm status {found.name}` shows that it lives, ask again with a longer --patience; "
            "if it is dead, nothing is left to stop, and the run goes on when it is submitted again"
        )
    elif made and runs:
        say(f"submission {made.submission_id} is stopped; it had begun no attempt")
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


def _store(address: str) -> Store:
    """A store that works, with a word on what is not guaranteed there."""
    place = Store(address)
    place.check()
    if caveat := place.abilities.caveat():
        say(f"store {place.uri}: {caveat}")
    return place


def _open(spec: JobSpec, place: Store, name: str | None, *, override: bool) -> Run:
    """The run of that name, or a new one."""
    now = datetime.now().astimezone()
    if name is None:
        return catalogue.open_new_run(place, spec, now)
    opened = Run(place, name)
    if override:
        continuation.require_steps_left(opened, spec)
    if not catalogue.open_run(opened, spec, now, override=override):
        say(f"run {opened.name} exists; it goes on")
    return opened


@contextmanager
def _job_server(address: str | None, cluster: Path | None) -> Iterator["JobServer"]:
    """The job server that was named, or that of the local Ray, which is started if none runs."""
    from ardm.cluster import local, remote
    from ardm.cluster.submission import JobServer, named

    if cluster:
        with remote.tunnel(cluster) as target:
            yield JobServer(target, here=False)
        return
    if found := named(address):
        yield found
        return
    running = local.find()
    if running is None:
        say("starting a local Ray (`make down` stops it)")
        running = local.start()
    yield JobServer(running, here=True)


def _newest(run: Run) -> int:
    """The number of the newest attempt, 0 if there is none."""
    return max(run.attempts(), default=0)


def _is_complete(run: Run, spec: JobSpec) -> bool:
    number = _newest(run)
    event = control.ended(run, number) if number else None
    return bool(event and event["outcome"] == "completed" and event["step"] >= spec.training.steps)


def _tell_next(run: Run, made: "Submission") -> None:
    from ardm.cluster import submission

    say(f"run            {run.name}")
    say(f"submission id  {made.submission_id}")
    say(f"store          {run.store.uri}")
    say("")
    say("next:")
    say(f"  make watch RUN={run.name}     progress, here")
    say(f"  make sample RUN={run.name}    digits from the newest checkpoint")
    say(f"  {submission.ray_job('status', made)}")


COMMANDS = (validate, submit, train, stop, down)

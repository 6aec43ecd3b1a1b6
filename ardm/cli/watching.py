"""Commands that show runs: runs, status, watch, logs."""

import math
import time
from dataclasses import replace
from typing import Annotated, Any, Self

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ardm.cli import live
from ardm.cli.console import err, errors_as_messages, out, say, show
from ardm.cli.keys import Keys
from ardm.cli.live import View
from ardm.cli.options import DEFAULT_STORE, AsJson, JobName, RunName, StoreUri, find_run
from ardm.cli.progress import duration
from ardm.cli.tables import show_table
from ardm.errors import Interrupted, JobFailed, NotFound
from ardm.events import history
from ardm.events.curve import Curve
from ardm.events.events import whole
from ardm.events.history import Pulse, look_s
from ardm.outages import of_the_store
from ardm.runs import Run
from ardm.store import registry
from ardm.store.run_directory import Run as RunDirectory
from ardm.store.store import Store

LIVE = ("starting", "training", "saving", "draining")
"""States of a living attempt, for which the status does not have to be computed."""

ENDS = ("completed", "failed", "stopped", "superseded")
"""States in which nothing more happens by itself."""

STATUS_PERIOD_S, CURVE_PERIOD_S = 10.0, 20.0
"""The status and the curve are read once per this time (seconds): while a run does not train, and
while it does."""


@errors_as_messages
def runs(store: StoreUri = DEFAULT_STORE, job: JobName = None, json: AsJson = False) -> None:
    """List the runs of a store, oldest first, with state, step, training NELBO and last report."""
    from ardm.analysis.overview import overview

    opened = Store(store)
    if not opened.is_there():
        raise NotFound(f"there is no store at {opened.uri}; name one with --store or ARDM_STORE")
    found = overview(opened, job)
    if json:
        show(found)
        return
    names = ("run", "state", "step", "NELBO", "age", "created (UTC)", "job")
    table = Table(*names, box=None, pad_edge=False)
    for one in found:
        color = live.COLORS.get(one["state"], "cyan")
        step = "" if one["step"] is None else f"{one['step']:,} of {one['total_steps'] or 0:,}"
        nelbo = "" if one["train_nelbo_bpd"] is None else f"{one['train_nelbo_bpd']:.4f}"
        age = "" if one["age_s"] is None else duration(one["age_s"])
        created = one["created"][:19].replace("T", " ")
        state = Text(one["state"], style=color)
        table.add_row(one["run"], state, step, nelbo, age, created, Text(one["job"]))
    show_table(table, spare=("job", "created (UTC)", "age", "NELBO"))


@errors_as_messages
def status(
    run: RunName = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    verify: Annotated[
        bool, typer.Option(help="Read the newest checkpoint, and verify its digest.")
    ] = True,
    json: AsJson = False,
) -> None:
    """Show the state of a run, its newest checkpoint and its attempts."""
    result = Run(find_run(store, run, job)).status(verify=verify)
    if json:
        show(result)
    else:
        _print_status(result)


@errors_as_messages
def watch(run: RunName = None, store: StoreUri = DEFAULT_STORE, job: JobName = None) -> None:
    """Show the progress of a run until it ends; q or Ctrl-C ends only the display.

    In a terminal one view is kept current; a pipe or a file gets one line for each change.
    """
    directory = find_run(store, run, job)
    registry.read_spec(directory)
    follow_run(Run(directory), out)


@errors_as_messages
def logs(
    run: RunName = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    attempt: Annotated[
        int | None, typer.Option(min=1, help="Number of the attempt; default: all attempts.")
    ] = None,
) -> None:
    """Print the logs of the attempts of a run."""
    directory = find_run(store, run, job)
    registry.read_spec(directory)
    numbers = directory.attempts()
    if attempt is not None and attempt not in numbers:
        known = ", ".join(map(str, numbers)) or "none"
        raise NotFound(f"run {directory.name} has no attempt {attempt}; it has: {known}")
    for number in numbers if attempt is None else [attempt]:
        text = directory.store.read(directory.file("logs", f"{number:06d}.log")) or b""
        out.print(f"attempt {number}", style="bold")
        out.print(text.decode(errors="replace"), markup=False, end="")


def follow_run(run: Run, console: Console = err) -> None:
    """Show the progress of a run until it ends, or until somebody presses q.

    Args:
        run: the run.
        console: where to show it: a view that changes in a terminal, otherwise lines.

    Raises:
        JobFailed: the run failed.
        Interrupted: the run was stopped.
    """
    directory = run.directory
    looking = _Looking(run)
    view = looking.look()
    with Keys() as keys, _Display(console) as display:
        display.show(view)
        while view.state not in ENDS:
            if keys.pressed("qQ", look_s(directory)):
                say(f"run {run.name} goes on; `ardm stop {run.name}` would end it")
                return
            try:
                view = looking.look()
            except Exception as error:
                if not of_the_store(error):
                    raise
                # A store that fails for a moment must not end the display.
                view = replace(view, fault=f"the store does not answer ({type(error).__name__})")
            display.show(view)
    status = view.status
    say(f"run {run.name}: {status['state']} at step {status['step']} ({status['reason']})")
    if status["state"] == "stopped":
        raise Interrupted(f"run {run.name} is stopped; submit it again to continue")
    if status["state"] != "completed":
        raise JobFailed(f"run {run.name}: {status['reason']}; see `ardm logs {run.name}`")


class _Looking:
    """Reads a run again and again, with few requests."""

    def __init__(self, run: Run) -> None:
        self._run, self._pulse = run, Pulse()
        self._newest = history.Newest(run.directory)
        self._after = _before_submission(run.directory)
        self._computed = -math.inf
        self._status: dict[str, Any] = {}
        self._curve = Curve()

    def look(self) -> View:
        """What is known now. In an end state the view has no progress."""
        run, newest = self._run.directory, self._newest()
        progress = run.read_progress(newest) if newest > self._after else {}
        is_live = self._pulse.beats(progress) and progress.get("state") in LIVE
        # Computing the status takes some dozen requests, so it is not done in every round.
        period = CURVE_PERIOD_S if is_live else STATUS_PERIOD_S
        if not self._status or time.monotonic() >= self._computed + period:
            self._status = self._run.status(verify=False)
            self._curve = history.read(run).curve
            self._computed = time.monotonic()
        return View(self._status, progress if is_live else {}, self._curve)


class _Display:
    """Shows views: in a terminal one that changes, otherwise a line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # On the alternate screen nothing of an old view remains when the terminal is resized.
        self._live = Live(console=console, auto_refresh=False, screen=True, transient=True)
        self._drawn: RenderableType = ""
        self._before: object = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
            self._console.print(self._drawn)

    def show(self, view: View) -> None:
        if self._console.is_terminal:
            hint = Text(" q closes this view; the run goes on", style="dim")
            self._drawn = live.draw(view, self._console.width)
            self._live.update(Group(self._drawn, hint), refresh=True)
        elif (now := live.change(view)) != self._before:
            self._before = now
            self._console.print(live.line(view), markup=False)


def _before_submission(run: RunDirectory) -> int:
    """The number of the newest attempt that existed when the run was last submitted."""
    record = run.store.read_record(run.submission) or {}
    return whole(record, "after") or 0


def _print_status(result: dict[str, Any]) -> None:
    heading = f"  {result['state']}  {result['reason']}".rstrip()
    out.print(Text.assemble((result["run"], "bold"), heading))
    rows = [("step", f"{result['step']} of {result['total_steps']}")]
    if result["steps_per_s"] and result["eta_s"] is not None:
        rows.append(
            ("speed", f"{result['steps_per_s']:.2f} steps/s, ETA {duration(result['eta_s'])}")
        )
    metrics, saved, unit = result["metrics"], result["checkpoint"], result["unit"]
    if metrics["train_nelbo_bpd"]:
        rows.append(("train NELBO", f"{metrics['train_nelbo_bpd']:.4f} {unit}"))
    for split in ("valid", "test"):
        value, se, step = (metrics[f"{split}_{name}"] for name in ("nelbo_bpd", "nelbo_se", "step"))
        if step is not None:
            finite = None not in (value, se)
            nelbo = f"{value:.4f} ± {se:.4f} {unit}" if finite else "not finite"
            rows.append((f"{split} NELBO", f"{nelbo} at step {step}"))
    if result["skipped_steps"]:
        rows.append(("skipped", f"{result['skipped_steps']} steps that were not finite"))
    if change := result["learning_rate_change"]:
        old, new = (f"{change[key] or 0.0:.4g}" for key in ("old", "new"))
        rows.append(("learning rate", f"changed from {old} to {new} after step {change['step']}"))
    if saved:
        size = saved["bytes"] / 1e6
        rows.append(
            ("checkpoint", f"step {saved['step']}, {duration(saved['age_s'])} old, {size:.1f} MB")
        )
        rows.append(("", saved["uri"]))
        rows.append(("digest", str(result["digest"])))
    for skip in result["skipped"]:
        rows.append(("damaged", f"step {skip['step']}: {skip['reason']}"))
    if result["save_error"]:
        rows.append(("CANNOT SAVE", result["save_error"]))
    if result["goodput"]["fraction"] is not None:
        lost = result["goodput"]["steps_lost"]
        rows.append(("goodput", f"{result['goodput']['fraction']:.1%}, {lost} steps lost"))
    if result["ray"]["submission_id"]:
        ray = result["ray"]
        rows.append(("ray", f"{ray['submission_id']} at {ray['address']}: {ray['status']}"))
    for change in result["changes"]:
        rows.append(("changed", f"{change['what']}: {change['old']} -> {change['new']}"))
    rows += [("workers", line) for line in result["workers_differ"]]
    if result["changes"] or result["workers_differ"]:
        rows.append(("note", "because of these changes, results may not be bitwise equal"))
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in rows:
        # Text is not parsed as markup: a path or a reason may contain brackets.
        table.add_row(key, Text(value))
    show_table(table)
    _print_attempts(result["attempts"])


def _print_attempts(attempts: list[dict[str, Any]]) -> None:
    if not attempts:
        return
    out.print()
    table = Table(
        "attempt", "outcome", "workers", "steps", "lost", "began (UTC)", box=None, pad_edge=False
    )
    for item in attempts[-10:]:
        steps = f"{item['first_step']} - {item['last_step']}"
        lost = str(item["steps_lost"])
        began = item["started"][:19].replace("T", " ")
        outcome = item["outcome"] or "running"
        table.add_row(str(item["attempt"]), Text(outcome), str(item["workers"]), steps, lost, began)
    show_table(table, spare=("workers", "began (UTC)", "steps"))


COMMANDS = (runs, status, watch, logs)

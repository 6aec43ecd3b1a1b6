"""Commands that show runs: runs, status, watch, logs."""

import math
import time
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import DEFAULT_STORE, AsJson, JobName, RunName, StoreUri, find_run
from ardm.cli.progress import ProgressBar, duration
from ardm.errors import Interrupted, JobFailed, NotFound
from ardm.events.history import Pulse, look_s
from ardm.runs import Run
from ardm.store import registry
from ardm.store.run_directory import Run as RunDirectory
from ardm.store.store import Store

LIVE = ("starting", "training", "saving", "draining")
"""States of a living attempt, for which the status does not have to be computed."""

STATUS_PERIOD_S = 10.0
"""While a run does not train, its status is computed once per this time (seconds)."""


@errors_as_messages
def runs(store: StoreUri = DEFAULT_STORE, job: JobName = None, json: AsJson = False) -> None:
    """List the runs of a store, oldest first."""
    opened = Store(store)
    if not opened.is_there():
        raise NotFound(f"there is no store at {opened.uri}; name one with --store or ARDM_STORE")
    entries = [e for e in registry.entries(opened) if job in (None, e.job)]
    if json:
        show([{"run": e.run.name, "job": e.job, "created": e.created} for e in entries])
        return
    table = Table("run", "job", "created (UTC)", box=None, pad_edge=False)
    for entry in entries:
        created = entry.created[:19].replace("T", " ")
        table.add_row(entry.run.name, Text(entry.job), created)
    out.print(table)


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
    """Show the progress of a run until it ends; Ctrl-C ends only the display."""
    directory = find_run(store, run, job)
    registry.read_spec(directory)
    follow_run(Run(directory))


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


def follow_run(run: Run) -> None:
    """Show the progress of a run until it ends.

    Raises:
        JobFailed: the run failed.
        Interrupted: the run was stopped.
    """
    pulse, computed, first, directory = Pulse(), -math.inf, True, run.directory
    with ProgressBar(directory, after=_before_submission(directory), by_itself=False) as bar:
        while True:
            progress = bar.update()
            live = pulse.beats(progress) and progress.get("state") in LIVE
            # Computing the status takes some dozen requests, so it is not done in every round.
            if first or (not live and time.monotonic() >= computed + STATUS_PERIOD_S):
                result, computed, first = run.status(verify=False), time.monotonic(), False
                if result["state"] in ("completed", "failed", "stopped", "superseded"):
                    break
            time.sleep(look_s(directory))
    say(f"run {run.name}: {result['state']} at step {result['step']} ({result['reason']})")
    if result["state"] == "stopped":
        raise Interrupted(f"run {run.name} is stopped; submit it again to continue")
    if result["state"] != "completed":
        raise JobFailed(f"run {run.name}: {result['reason']}; see `ardm logs {run.name}`")


def _before_submission(run: RunDirectory) -> int:
    """The number of the newest attempt that existed when the run was last submitted."""
    record = run.store.read_record(run.submission) or {}
    return record.get("after") or 0


def _print_status(result: dict[str, Any]) -> None:
    heading = f"  {result['state']}  {result['reason']}".rstrip()
    out.print(Text.assemble((result["run"], "bold"), heading))
    rows = [("step", f"{result['step']} of {result['total_steps']}")]
    if result["steps_per_s"]:
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
    out.print(table)
    _print_attempts(result["attempts"])


def _print_attempts(attempts: list[dict[str, Any]]) -> None:
    if not attempts:
        return
    out.print()
    table = Table("attempt", "outcome", "workers", "steps", "lost", "began (UTC)", box=None)
    for item in attempts[-10:]:
        steps = f"{item['first_step']} - {item['last_step']}"
        lost = str(item["steps_lost"])
        began = item["started"][:19].replace("T", " ")
        outcome = item["outcome"] or "running"
        table.add_row(str(item["attempt"]), Text(outcome), str(item["workers"]), steps, lost, began)
    out.print(table)


COMMANDS = (runs, status, watch, logs)

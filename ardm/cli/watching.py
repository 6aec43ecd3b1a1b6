"""Commands that look: runs, status, watch, logs."""

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
"""States of an attempt in which there is nothing to do but to look on."""

ASK = 10.0
"""Seconds between two times that the status of a run that does not train is worked out."""


@errors_as_messages
def runs(store: StoreUri = DEFAULT_STORE, job: JobName = None, json: AsJson = False) -> None:
    """List the runs of a store, oldest first."""
    place = Store(store)
    if not place.is_there():
        raise NotFound(f"there is no store at {place.uri}; name one with --store or ARDM_STORE")
    found = [e for e in registry.entries(place) if job in (None, e.job)]
    if json:
        show([{"run": e.run.name, "job": e.job, "created": e.created} for e in found])
        return
    table = Table("run", "job", "created (UTC)", box=None, pad_edge=False)
    for entry in found:
        created = entry.created[:19].replace("T", " ")
        table.add_row(entry.run.name, Text(entry.job), created)
    out.print(table)


@errors_as_messages
def status(
    run: RunName = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    verify: Annotated[bool, typer.Option(help="Read the newest checkpoint back.")] = True,
    json: AsJson = False,
) -> None:
    """Tell what a run is doing, what it has saved and what its attempts came to."""
    found = Run(find_run(store, run, job)).status(verify=verify)
    if json:
        show(found)
    else:
        _print_status(found)


@errors_as_messages
def watch(run: RunName = None, store: StoreUri = DEFAULT_STORE, job: JobName = None) -> None:
    """Show the progress of a run until it ends; Ctrl-C leaves it running."""
    found = find_run(store, run, job)
    registry.read_spec(found)
    follow_run(Run(found))


@errors_as_messages
def logs(
    run: RunName = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    attempt: Annotated[int | None, typer.Option(help="Default: all of them.")] = None,
) -> None:
    """Print the logs that the attempts of a run left in the store."""
    found = find_run(store, run, job)
    registry.read_spec(found)
    for number in [attempt] if attempt else found.attempts():
        text = found.store.read(found.file("logs", f"{number:06d}.log")) or b""
        out.print(f"attempt {number}", style="bold")
        out.print(text.decode(errors="replace"), markup=False, end="")


def follow_run(run: Run) -> None:
    """Show progress until the run ends, and end as it did.

    Raises:
        JobFailed: the run failed.
        Interrupted: the run was stopped.
    """
    pulse, asked, first, directory = Pulse(), -math.inf, True, run.directory
    with ProgressBar(directory, after=_before_submission(directory), by_itself=False) as bar:
        while True:
            progress = bar.update()
            live = pulse.beats(progress) and progress.get("state") in LIVE
            # The status lists and reads some dozen objects, so it is not asked for at every look.
            if first or (not live and time.monotonic() >= asked + ASK):
                found, asked, first = run.status(verify=False), time.monotonic(), False
                if found["state"] in ("completed", "failed", "stopped", "superseded"):
                    break
            time.sleep(look_s(directory))
    say(f"run {run.name}: {found['state']} at step {found['step']} ({found['reason']})")
    if found["state"] == "stopped":
        raise Interrupted(f"run {run.name} is stopped; submit it again to go on")
    if found["state"] != "completed":
        raise JobFailed(f"run {run.name}: {found['reason']}; see `ardm logs {run.name}`")


def _before_submission(run: RunDirectory) -> int:
    """The newest attempt that was there before the run was last submitted."""
    noted = run.store.read_record(run.submission) or {}
    return noted.get("after") or 0


def _print_status(found: dict[str, Any]) -> None:
    heading = f"  {found['state']}  {found['reason']}".rstrip()
    out.print(Text.assemble((found["run"], "bold"), heading))
    rows = [("step", f"{found['step']} of {found['total_steps']}")]
    if found["steps_per_s"]:
        rows.append(
            ("speed", f"{found['steps_per_s']:.2f} steps/s, ETA {duration(found['eta_s'])}")
        )
    metrics, saved = found["metrics"], found["checkpoint"]
    if metrics["train_nelbo_bpd"]:
        rows.append(("train NELBO", f"{metrics['train_nelbo_bpd']:.4f} bits/dim"))
    for split in ("valid", "test"):
        value, se, step = (metrics[f"{split}_{name}"] for name in ("nelbo_bpd", "nelbo_se", "step"))
        if step is not None:
            finite = None not in (value, se)
            found_nelbo = f"{value:.4f} ± {se:.4f} bits/dim" if finite else "not finite"
            rows.append((f"{split} NELBO", f"{found_nelbo} at step {step}"))
    if found["skipped_steps"]:
        rows.append(("left out", f"{found['skipped_steps']} steps that were not finite"))
    if change := found["learning_rate_change"]:
        old, new = (f"{change[key] or 0.0:.4g}" for key in ("old", "new"))
        rows.append(("learning rate", f"{old} -> {new} after step {change['step']}, as changed"))
    if saved:
        size = saved["bytes"] / 1e6
        rows.append(
            ("checkpoint", f"step {saved['step']}, {duration(saved['age_s'])} old, {size:.1f} MB")
        )
        rows.append(("", saved["uri"]))
        rows.append(("digest", str(found["digest"])))
    for skip in found["skipped"]:
        rows.append(("damaged", f"step {skip['step']}: {skip['reason']}"))
    if found["save_error"]:
        rows.append(("CANNOT SAVE", found["save_error"]))
    if found["goodput"]["fraction"] is not None:
        lost = found["goodput"]["steps_lost"]
        rows.append(("goodput", f"{found['goodput']['fraction']:.1%}, {lost} steps lost"))
    if found["ray"]["submission_id"]:
        ray = found["ray"]
        rows.append(("ray", f"{ray['submission_id']} at {ray['address']}: {ray['status']}"))
    for change in found["changes"]:
        rows.append(("changed", f"{change['what']}: {change['old']} -> {change['new']}"))
    rows += [("workers", line) for line in found["workers_differ"]]
    if found["changes"] or found["workers_differ"]:
        rows.append(("note", "equal bits are not promised"))
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in rows:
        # No markup: a path or a reason may hold brackets.
        table.add_row(key, Text(value))
    out.print(table)
    _print_attempts(found["attempts"])


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

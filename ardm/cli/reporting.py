"""The command that looks back: report."""

from typing import Annotated, Any

import typer
from rich.table import Table

from ardm.api import Run
from ardm.cli.console import errors_as_messages, out, show
from ardm.cli.options import DEFAULT_STORE, AsJson, JobName, RunName, StoreUri, find_run


@errors_as_messages
def report(
    run: RunName = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    on_demand_price: Annotated[
        float | None,
        typer.Option(min=0.0, help="Per worker-hour; adds what this would have cost on demand."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Account for a run: goodput, where the rest of the time went, saves, interruptions, cost."""
    found = Run(find_run(store, run, job)).report(on_demand_price)
    if json:
        show(found)
    else:
        _print_report(found)


def _print_report(found: dict[str, Any]) -> None:
    told, saves, struck = found["goodput"], found["saves"], found["interruptions"]
    out.print(f"[bold]{found['run']}[/]  step {found['steps']} of {found['total_steps']}\n")
    if not told["wall_s"]:
        out.print("no attempt has begun")
        return
    table = Table("time", "seconds", "share", box=None, pad_edge=False, header_style="bold")
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, seconds in [("productive", told["productive_s"]), *told["badput"].items()]:
        share = f"{seconds / told['wall_s']:.1%}"
        table.add_row(name.replace("_", " "), f"{seconds:.1f}", share)
    table.add_row("wall", f"{told['wall_s']:.1f}", f"goodput {told['fraction']:.1%}")
    out.print(table)
    lines = [
        ("evaluation", f"{found['evaluation_s']:.1f} s of the productive time"),
        ("interruptions", f"{struck['count']}, {struck['noticed']} of them with notice"),
        ("steps lost", f"{told['steps_lost']}; by interruption: {struck['steps_lost'] or '-'}"),
    ]
    if found["skipped_steps"]:
        lines.append(("left out", f"{found['skipped_steps']} steps that were not finite"))
    if told["idle_s"]:
        lines.append(("idle", f"{told['idle_s']:.1f} s in which nobody wanted it trained"))
    if saves["count"]:
        stall = saves["median_stall_s"]
        held = "" if stall is None else f", stalling training {stall:.3f} s"
        size = f"{saves['bytes'] / 1e6:.1f} MB"
        lines.append(("saves", f"{saves['count']} of {size}, median {saves['median_s']} s{held}"))
        if saves["interval_s"] is not None:
            lines.append(("interval", f"{saves['interval_s']:g} s between saves at last"))
    if saves["failed"]:
        lines.append(("failed saves", str(saves["failed"])))
    lines += _cost_lines(found["cost"])
    more = Table(box=None, show_header=False, pad_edge=False)
    for line in lines:
        more.add_row(*line)
    out.print()
    out.print(more)


def _cost_lines(cost: dict[str, Any] | None) -> list[tuple[str, str]]:
    if cost is None:
        return []
    lines = []
    if cost["total"] is not None:
        lines.append(("cost", f"{cost['total']:.4g} for {cost['worker_hours']:.4g} worker-hours"))
    if cost["on_demand_total"] is not None:
        hours = cost["productive_worker_hours"]
        lines.append(
            ("on demand", f"{cost['on_demand_total']:.4g} for {hours:.4g} productive worker-hours")
        )
    return lines


COMMANDS = (report,)

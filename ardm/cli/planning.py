"""The command that looks ahead: plan."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.table import Table

from ardm.analysis import plan as planner
from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import DEFAULT_STORE, AsJson, StoreUri
from ardm.cli.progress import duration
from ardm.errors import InputError
from ardm.store.run_directory import Run
from ardm.store.store import Store

_NAMES = {"stall_s": "the stall of a save", "save_s": "its seconds", "recovery_s": "the recovery"}

_FIGURES, _MARKET = planner.Figures(), planner.Market()


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


@errors_as_messages
def plan(
    run: Annotated[
        str | None, typer.Option("--run", help="Take figures and work from this run's ledger.")
    ] = None,
    store: StoreUri = DEFAULT_STORE,
    rates: Annotated[str, typer.Option(help="Preemptions per worker-hour.")] = _listed(
        planner.RATES
    ),
    intervals: Annotated[str, typer.Option(help="Seconds between saves.")] = _listed(
        planner.INTERVALS
    ),
    workers: Annotated[str, typer.Option(help="Numbers of workers.")] = _listed(planner.WORKERS),
    hours: Annotated[
        float | None,
        typer.Option(help=f"Work, in hours of one worker; default: {_MARKET.hours:g}."),
    ] = None,
    step_seconds: Annotated[
        float | None,
        typer.Option(help=f"A step on one worker; default: {_FIGURES.step_s:g}."),
    ] = None,
    save_stall: Annotated[
        float | None,
        typer.Option(help=f"Seconds that a save takes from training; default: {_FIGURES.stall_s}."),
    ] = None,
    save_seconds: Annotated[
        float | None,
        typer.Option(help=f"From a save's start to its commit; default: {_FIGURES.save_s:g}."),
    ] = None,
    recovery_seconds: Annotated[
        float | None,
        typer.Option(help=f"From interruption to new step; default: {_FIGURES.recovery_s:g}."),
    ] = None,
    overhead: Annotated[
        float, typer.Option(help="What each doubling of workers adds to a step.")
    ] = _MARKET.overhead,
    notice_fraction: Annotated[
        float, typer.Option(help="Share of preemptions with a notice.")
    ] = _MARKET.noticed,
    notice_seconds: Annotated[float, typer.Option(help="Length of a notice.")] = _MARKET.notice_s,
    spot_price: Annotated[float, typer.Option(help="Per worker-hour.")] = _MARKET.spot_price,
    on_demand_price: Annotated[
        float, typer.Option(help="Per worker-hour.")
    ] = _MARKET.on_demand_price,
    trials: Annotated[int, typer.Option(min=2, help="Simulated runs of each case.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulation.")] = 0,
    json: AsJson = False,
) -> None:
    """Tabulate goodput and cost against preemption rate, save interval and workers.

    A seeded simulation, event by event, of clusters of any size; nothing is started.
    """
    given = {
        "step_s": _positive("--step-seconds", step_seconds),
        "stall_s": _at_least_zero("--save-stall", save_stall),
        "save_s": _positive("--save-seconds", save_seconds),
        "recovery_s": _at_least_zero("--recovery-seconds", recovery_seconds),
    }
    _at_least_zero("--overhead", overhead)
    figures, work = _FIGURES, _MARKET.hours
    if run is not None:
        figures, work, unknown = planner.measured(Run(Store(store), run), overhead, figures)
        if unknown:
            missing = " nor ".join(_NAMES[name] for name in unknown)
            say(f"the ledger of {run} does not tell {missing} yet; defaults are taken")
    figures = replace(
        figures, **{name: value for name, value in given.items() if value is not None}
    )
    if figures.stall_s > figures.save_s:
        raise InputError(
            f"--save-stall {figures.stall_s:g}: expected at most the {figures.save_s:g} s from a "
            "save's start to its commit (--save-seconds)"
        )
    if not 0 <= notice_fraction <= 1:
        raise InputError(f"--notice-fraction {notice_fraction:g}: expected a share from 0 to 1")
    market = planner.Market(
        hours=_positive("--hours", hours) or work,
        overhead=overhead,
        noticed=notice_fraction,
        notice_s=notice_seconds,
        spot_price=spot_price,
        on_demand_price=on_demand_price,
    )
    found = planner.plan(
        figures,
        market,
        _numbers("--rates", rates, 0.0),
        _numbers("--intervals", intervals, 0.0),
        _whole("--workers", workers),
        trials,
        seed,
    )
    if json:
        show(found)
    else:
        _print_plan(found, _numbers("--intervals", intervals, 0.0))


def _print_plan(found: dict[str, Any], intervals: Sequence[float]) -> None:
    figures, market = found["figures"], found["market"]
    out.print(
        f"{market['hours']:.4g} worker-hours in steps of {figures['step_s']:.4g} s on one worker; "
        f"{found['runs']} simulated runs a case\n"
        f"a save stalls {figures['stall_s']:g} s, commits after {figures['save_s']:g} s; "
        f"recovery {figures['recovery_s']:g} s; "
        f"{market['noticed']:.0%} of preemptions with {market['notice_s']:g} s of notice\n"
    )
    out.print("[bold]goodput[/] by seconds between saves (in whole steps); the most is underlined")
    names = [*(f"{seconds:g}" for seconds in intervals), "auto", "= s", "Young"]
    table = _table("per worker-h", "workers", "MTBF", *names)
    for row in found["rows"]:
        table.add_row(*_group(row), *_goodputs(row))
    out.print(table)
    out.print("\n[bold]time and cost[/] with auto, the interval of Daly (2006)")
    names = ["preempted", "lost each", "hours", "cost", "on demand", "saves"]
    table = _table("per worker-h", "workers", *names)
    for row in found["rows"]:
        table.add_row(*_group(row)[:2], *_costs(row))
    out.print(table)


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _group(row: dict[str, Any]) -> list[str]:
    mtbf = "-" if row["mtbf_s"] is None else duration(row["mtbf_s"])
    return [f"{row['rate']:g}", str(row["workers"]), mtbf]


def _goodputs(row: dict[str, Any]) -> list[str]:
    cells = [f"{cell['goodput']:.1%}" for cell in row["cells"]]
    cells[row["best"]] = f"[underline]{cells[row['best']]}[/]"
    young = "-" if row["young_s"] is None else f"{row['young_s']:.0f}"
    return [*cells, f"{row['auto']['interval_s']:.0f}", young]


def _costs(row: dict[str, Any]) -> list[str]:
    auto, demanded = row["auto"], row["on_demand"]["cost"]
    lost = f"{auto['steps_lost']:.1f}"
    if auto["cost"] is None:
        return ["-", lost, "never", "-", _short(demanded), "-"]
    saves = f"{1 - auto['cost'] / demanded:.0%}" if demanded else "-"
    struck, hours, cost = auto["interruptions"], auto["hours"], auto["cost"]
    return [_short(struck), lost, _short(hours), _short(cost), _short(demanded), saves]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _numbers(option: str, text: str, least: float) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text}: expected numbers with commas between them") from error
    if not all(math.isfinite(value) and value >= least for value in values):
        raise InputError(f"{option} {text}: expected numbers of {least:g} or more")
    return values


def _whole(option: str, text: str) -> list[int]:
    values = _numbers(option, text, 1.0)
    if any(value != int(value) for value in values):
        raise InputError(f"{option} {text}: expected whole numbers")
    return [int(value) for value in values]


def _positive(option: str, value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise InputError(f"{option} {value:g}: expected a number above 0")
    return value


def _at_least_zero(option: str, value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise InputError(f"{option} {value:g}: expected a number of 0 or more")
    return value


COMMANDS = (plan,)

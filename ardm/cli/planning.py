"""The command `plan`: predict the goodput and the cost of a job on preemptible workers."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.table import Table

from ardm.analysis.assumptions import INTERVALS, RATES, WORKERS, Figures, Market
from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import DEFAULT_STORE, AsJson, StoreUri, complete_run
from ardm.cli.progress import duration
from ardm.cli.tables import show_table
from ardm.errors import InputError
from ardm.store.run_directory import Run
from ardm.store.store import Store

_NAMES = {
    "stall_s": "the stall of a save",
    "save_s": "the duration of a save",
    "recovery_s": "the recovery time",
}

_FIGURES, _MARKET = Figures(), Market()


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


@errors_as_messages
def plan(
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            help="Use the step time, save times and length of this run.",
            autocompletion=complete_run,
        ),
    ] = None,
    store: StoreUri = DEFAULT_STORE,
    rates: Annotated[
        str, typer.Option(help="Preemptions per worker-hour, separated by commas.")
    ] = _listed(RATES),
    intervals: Annotated[
        str, typer.Option(help="Seconds between saves, separated by commas.")
    ] = _listed(INTERVALS),
    workers: Annotated[
        str, typer.Option(help="Numbers of workers, separated by commas.")
    ] = _listed(WORKERS),
    hours: Annotated[
        float | None,
        typer.Option(help=f"Hours of training on one worker; default: {_MARKET.hours:g}."),
    ] = None,
    step_seconds: Annotated[
        float | None,
        typer.Option(help=f"Seconds of a step on one worker; default: {_FIGURES.step_s:g}."),
    ] = None,
    save_stall: Annotated[
        float | None,
        typer.Option(
            help=f"Seconds for which a save stalls training; default: {_FIGURES.stall_s}."
        ),
    ] = None,
    save_seconds: Annotated[
        float | None,
        typer.Option(
            help=f"Seconds from a save's start to its commit; default: {_FIGURES.save_s:g}."
        ),
    ] = None,
    recovery_seconds: Annotated[
        float | None,
        typer.Option(
            help="Seconds from an interruption to the next new step; default: "
            f"{_FIGURES.recovery_s:g}."
        ),
    ] = None,
    overhead: Annotated[
        float, typer.Option(help="Share by which each doubling of the workers lengthens a step.")
    ] = _MARKET.overhead,
    notice_fraction: Annotated[
        float, typer.Option(help="Share of preemptions that are announced by a notice.")
    ] = _MARKET.noticed,
    notice_seconds: Annotated[
        float, typer.Option(help="Seconds from a notice to the preemption.")
    ] = _MARKET.notice_s,
    spot_price: Annotated[
        float, typer.Option(help="Price per worker-hour of a preemptible machine.")
    ] = _MARKET.spot_price,
    on_demand_price: Annotated[
        float, typer.Option(help="Price per worker-hour of an on-demand machine.")
    ] = _MARKET.on_demand_price,
    trials: Annotated[
        int, typer.Option(min=2, help="Number of simulated runs of each case.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 0,
    json: AsJson = False,
) -> None:
    """Predict goodput and cost by preemption rate, save interval and number of workers.

    The figures come from a simulation with a fixed seed; no training is started.
    """
    from ardm.analysis import plan as planner

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
            say(f"run {run} has not measured {missing} yet; defaults are used")
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
    market = Market(
        hours=_positive("--hours", hours) or work,
        overhead=overhead,
        noticed=notice_fraction,
        notice_s=notice_seconds,
        spot_price=spot_price,
        on_demand_price=on_demand_price,
    )
    result = planner.plan(
        figures,
        market,
        _numbers("--rates", rates, 0.0),
        _numbers("--intervals", intervals, 0.0),
        _whole("--workers", workers),
        trials,
        seed,
    )
    if json:
        show(result)
    else:
        _print_plan(result, _numbers("--intervals", intervals, 0.0))


def _print_plan(result: dict[str, Any], intervals: Sequence[float]) -> None:
    figures, market = result["figures"], result["market"]
    out.print(
        f"{market['hours']:.4g} worker-hours in steps of {figures['step_s']:.4g} s on one worker; "
        f"{result['runs']} simulated runs per case\n"
        f"a save stalls training for {figures['stall_s']:g} s and commits after "
        f"{figures['save_s']:g} s; a recovery takes {figures['recovery_s']:g} s;\n"
        f"{market['noticed']:.0%} of preemptions have {market['notice_s']:g} s of notice\n"
    )
    out.print(
        "[bold]goodput[/] by seconds between saves, in whole steps; the best is underlined\n"
        "rate/hour: preemptions per worker-hour; auto s: the interval of Daly (2006);\n"
        "Young s: the interval of Young (1974)"
    )
    names = [*(f"{seconds:g}" for seconds in intervals), "auto", "auto s", "Young s"]
    table = _table("rate/hour", "workers", "MTBF", *names)
    for row in result["rows"]:
        table.add_row(*_group(row), *_goodputs(row))
    show_table(table)
    out.print(
        "\n[bold]time and cost[/] of the whole job with interval auto; steps lost per preemption"
    )
    names = ["preemptions", "steps lost", "hours", "cost", "on demand", "saved"]
    table = _table("rate/hour", "workers", *names)
    for row in result["rows"]:
        table.add_row(*_group(row)[:2], *_costs(row))
    show_table(table)


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
    auto, on_demand = row["auto"], row["on_demand"]["cost"]
    lost = f"{auto['steps_lost']:.1f}"
    if auto["cost"] is None:
        return ["-", lost, "never", "-", _short(on_demand), "-"]
    saved = f"{1 - auto['cost'] / on_demand:.0%}" if on_demand else "-"
    numbers = [_short(auto[name]) for name in ("interruptions", "hours", "cost")]
    return [numbers[0], lost, *numbers[1:], _short(on_demand), saved]


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

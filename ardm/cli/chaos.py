"""Commands that test the promises with injected faults: chaos, soak."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import AsJson, JobFile, Overrides
from ardm.cli.tables import show_table
from ardm.errors import InputError, JobFailed


@errors_as_messages
def chaos(
    file: JobFile,
    minutes: Annotated[
        float, typer.Option(help="Approximate duration of the training with faults, in minutes.")
    ] = 10.0,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the random faults and their times.")
    ] = 0,
    set_: Overrides = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of workers, as --set scaling.workers=N.")
    ] = None,
    faults: Annotated[
        str | None, typer.Option(help="Kinds of faults, separated by commas; default: all.")
    ] = None,
    every: Annotated[float, typer.Option(help="Mean time between two faults, in seconds.")] = 45.0,
    keep: Annotated[
        Path | None, typer.Option(help="A directory to which the run and all logs are copied.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Train a job on a local Ray cluster while faults are injected, and check the result.

    The final checkpoint must equal that of an uninterrupted run.
    No fault may cost more steps than promised.
    Otherwise the exit code is 3.
    """
    from ardm.chaos import run as chaotic
    from ardm.chaos.schedule import KINDS

    kinds = [kind.strip() for kind in faults.split(",")] if faults else list(KINDS)
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong:
        known = "".join(f"\n  {kind:10} {what}" for kind, what in KINDS.items())
        raise InputError(f"--faults {', '.join(wrong)}: expected some of{known}")
    if not (minutes > 0 and every > 0):
        raise InputError(f"--minutes {minutes:g} --every {every:g}: expected numbers above 0")
    sets = [*(set_ or ()), *([] if workers is None else [f"scaling.workers={workers}"])]
    # google.auth warns that there is no metadata server; only machines at Google have one.
    logging.getLogger("google.auth").setLevel(logging.ERROR)
    plan = chaotic.Plan(file, sets, minutes, seed, kinds, every, keep)
    try:
        result = chaotic.chaos(plan, say)
    except KeyboardInterrupt:
        say("interrupted; all processes that were started have been ended")
        raise typer.Exit(130) from None
    if json:
        show(result)
    else:
        _print(result)
    chaotic.require_kept(result)


@errors_as_messages
def soak(
    faults: Annotated[int, typer.Option(min=1, help="Number of faults to inject.")] = 100,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the random faults and their times.")
    ] = 0,
    keep: Annotated[
        Path | None, typer.Option(help="A directory for stores and logs; default: a temporary one.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Train a tiny job in local processes while a fault is injected every few seconds.

    Each run must end with the digest of an uninterrupted run.
    No finished checkpoint may be lost.
    Otherwise the exit code is 3.
    """
    from ardm.chaos import soak as soaking
    from ardm.chaos.soak_result import KINDS

    logging.getLogger("google.auth").setLevel(logging.ERROR)
    try:
        result = soaking.soak(faults, seed, keep, say)
    except KeyboardInterrupt:
        say("interrupted; all processes that were started have been ended")
        raise typer.Exit(130) from None
    if json:
        show(result)
    else:
        _print_soak(result, KINDS)
    if result["broken"]:
        raise JobFailed(f"{len(result['broken'])} promises were broken; see above")


def _print_soak(result: dict[str, Any], kinds: Mapping[str, str]) -> None:
    minutes = result["seconds"] / 60
    out.print(
        f"{result['faults']} faults in {minutes:.1f} minutes, {result['runs']} runs, "
        f"{result['attempts']} attempts"
    )
    table = Table("fault", "count", "steps repeated", "what happens", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for kind, row in result["kinds"].items():
        table.add_row(kind, str(row["faults"]), str(row["steps_lost"]), kinds[kind])
    show_table(table)
    for kind, why in result["left_out"].items():
        out.print(f"left out: {kind} ({why})", markup=False)
    out.print(f"digest of every run: {result['digest']}")
    for line in result["broken"]:
        out.print(f"BROKEN {line}", markup=False)
    if not result["broken"]:
        out.print("all promises were kept")


def _print(result: dict[str, Any]) -> None:
    table = Table("fault", box=None, pad_edge=False)
    for heading in ("injected", "recoveries", "steps lost", "most lost", "to next step"):
        table.add_column(heading, justify="right")
    for kind, row in result["kinds"].items():
        seconds = "" if row["recovery_s"] is None else f"{row['recovery_s']:.1f} s"
        counts = (row[name] for name in ("faults", "recoveries", "steps_lost", "most_lost"))
        table.add_row(kind, *map(str, counts), seconds)
    out.print()
    show_table(table)
    summary = Table(box=None, show_header=False, pad_edge=False)
    for row in _rows(result):
        summary.add_row(*row)
    out.print()
    show_table(summary)


def _rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    goodput, again = result["goodput"], result["submissions"] - 1
    fraction = "unknown" if goodput["fraction"] is None else f"{goodput['fraction']:.1%}"
    affected = sum(count for kind, count in result["requests"].items() if kind != "passed")
    requests = sum(result["requests"].values())
    resubmitted = f"; submitted again {again} times" if again else ""
    rows = [
        ("run", f"{result['state']}: {result['steps']} steps in {result['took_s']:.0f} s"),
        (
            "recoveries",
            f"after {result['recoveries']} of {result['attempts'] - 1} interruptions{resubmitted}",
        ),
        ("steps lost", f"{result['steps_lost']}; at most {result['most_lost']} by one fault"),
        ("goodput", f"{fraction} of {goodput['wall_s']:.0f} s"),
        ("store", f"{affected} of {requests} requests affected ({_clients(result['clients'])})"),
    ]
    rows += [("left out", f"{kind}: {reason}") for kind, reason in result["left_out"].items()]
    if result["unexplained"]:
        rows.append(("unexplained", f"attempts {result['unexplained']} ended without a fault"))
    digest = str(result["digest"])[:16]
    equal = f"{digest} equals that of the uninterrupted run" if result["equal"] else ""
    differs = f"{digest} DIFFERS from {result['reference'][:16]} of the uninterrupted run"
    rows.append(("digest", equal or differs))
    return [*rows, ("promise", "broken" if result["broken"] else "kept")]


def _clients(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts.get(name, 0)} by {name}" for name in ("gcsfs", "others"))


COMMANDS = (chaos, soak)

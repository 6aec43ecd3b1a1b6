"""The commands that try the promise: chaos, soak."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import AsJson, JobFile, Overrides
from ardm.errors import InputError, JobFailed


@errors_as_messages
def chaos(
    file: JobFile,
    minutes: Annotated[float, typer.Option(help="That training is to take, about.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the faults and their moments.")] = 0,
    set_: Overrides = None,
    workers: Annotated[int | None, typer.Option(help="Short for --set scaling.workers=N.")] = None,
    faults: Annotated[
        str | None, typer.Option(help="Kinds to choose from, by commas; default: all.")
    ] = None,
    every: Annotated[float, typer.Option(help="Mean seconds from a fault to the next.")] = 45.0,
    keep: Annotated[
        Path | None, typer.Option(help="A directory in which the run and all logs are kept.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Train a job on a Ray cluster of this machine among kills, drains, damage and outages.

    The final state must have the digest of an uninterrupted run, and no fault may cost more than
    is promised; else the exit code is 3.
    """
    from ardm.chaos import run as chaotic
    from ardm.chaos.schedule import KINDS

    kinds = [kind.strip() for kind in faults.split(",")] if faults else list(KINDS)
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong:
        shown = "".join(f"\n  {kind:10} {what}" for kind, what in KINDS.items())
        raise InputError(f"--faults {', '.join(wrong)}: expected some of{shown}")
    if not (minutes > 0 and every > 0):
        raise InputError(f"--minutes {minutes:g} --every {every:g}: expected numbers above 0")
    sets = [*(set_ or ()), *([] if workers is None else [f"scaling.workers={workers}"])]
    # It warns that there is no metadata server, which is so on any machine but Google's.
    logging.getLogger("google.auth").setLevel(logging.ERROR)
    plan = chaotic.Plan(file, sets, minutes, seed, kinds, every, keep)
    try:
        found = chaotic.chaos(plan, say)
    except KeyboardInterrupt:
        say("ended, with all that was started")
        raise typer.Exit(130) from None
    if json:
        show(found)
    else:
        _print(found)
    chaotic.require_kept(found)


@errors_as_messages
def soak(
    faults: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the faults and their moments.")] = 0,
    keep: Annotated[
        Path | None, typer.Option(help="A directory in which stores and logs are kept.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Train a tiny job in processes of this machine among many faults, one every few seconds.

    Each run must end with the digest of an uninterrupted one, and no finished checkpoint may be
    lost; else the exit code is 3.
    """
    from ardm.chaos import soak as soaking
    from ardm.chaos.soak_result import KINDS

    logging.getLogger("google.auth").setLevel(logging.ERROR)
    try:
        found = soaking.soak(faults, seed, keep, say)
    except KeyboardInterrupt:
        say("ended, with all that was started")
        raise typer.Exit(130) from None
    if json:
        show(found)
    else:
        _print_soak(found, KINDS)
    if found["broken"]:
        raise JobFailed(f"{len(found['broken'])} promises were not kept; see above")


def _print_soak(found: dict[str, Any], kinds: Mapping[str, str]) -> None:
    minutes = found["seconds"] / 60
    out.print(
        f"{found['faults']} faults in {minutes:.1f} minutes, {found['runs']} runs, "
        f"{found['attempts']} attempts"
    )
    table = Table("fault", "count", "steps redone", "what happens", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for kind, row in found["kinds"].items():
        table.add_row(kind, str(row["faults"]), str(row["steps_lost"]), kinds[kind])
    out.print(table)
    for kind, why in found["left_out"].items():
        out.print(f"left out: {kind} ({why})", markup=False)
    out.print(f"digest of every run: {found['digest']}")
    for line in found["broken"]:
        out.print(f"BROKEN {line}", markup=False)
    if not found["broken"]:
        out.print("all promises were kept")


def _print(found: dict[str, Any]) -> None:
    table = Table("fault", box=None, pad_edge=False)
    for heading in ("injected", "recoveries", "steps lost", "most", "to next step"):
        table.add_column(heading, justify="right")
    for kind, told in found["kinds"].items():
        seconds = "" if told["recovery_s"] is None else f"{told['recovery_s']:.1f} s"
        counts = (told[name] for name in ("faults", "recoveries", "steps_lost", "most_lost"))
        table.add_row(kind, *map(str, counts), seconds)
    out.print()
    out.print(table)
    more = Table(box=None, show_header=False, pad_edge=False)
    for row in _rows(found):
        more.add_row(*row)
    out.print()
    out.print(more)


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    told, again = found["goodput"], found["submissions"] - 1
    fraction = "unknown" if told["fraction"] is None else f"{told['fraction']:.1%}"
    hit = sum(count for kind, count in found["requests"].items() if kind != "passed")
    asked = sum(found["requests"].values())
    resubmitted = f", submitted again {again} times" if again else ""
    rows = [
        ("run", f"{found['state']}: {found['steps']} steps in {found['took_s']:.0f} s"),
        ("recoveries", f"{found['recoveries']} of {found['attempts'] - 1} ends{resubmitted}"),
        ("steps lost", f"{found['steps_lost']}, at most {found['most_lost']} at one fault"),
        ("goodput", f"{fraction} of {told['wall_s']:.0f} s"),
        ("store", f"{hit} of {asked} requests troubled ({_clients(found['clients'])})"),
    ]
    rows += [("left out", f"{kind}: {reason}") for kind, reason in found["left_out"].items()]
    if found["unexplained"]:
        rows.append(
            ("no fault ended", f"attempts {found['unexplained']}, which ended all the same")
        )
    digest = str(found["digest"])[:16]
    equal = f"{digest} equals that of the uninterrupted run" if found["equal"] else ""
    differs = f"{digest} DIFFERS from {found['reference'][:16]}, of the uninterrupted run"
    rows.append(("digest", equal or differs))
    return [*rows, ("promise", "broken" if found["broken"] else "kept")]


def _clients(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts.get(name, 0)} by {name}" for name in ("gcsfs", "others"))


COMMANDS = (chaos, soak)

"""The command doctor."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.options import DEFAULT_STORE, Address, AsJson, StoreUri
from ardm.cli.tables import show_table
from ardm.errors import InputError


@errors_as_messages
def doctor(
    store: StoreUri = DEFAULT_STORE,
    address: Address = None,
    cluster: Annotated[
        Path | None,
        typer.Option(help="A file of Ray's cluster launcher; default: cluster.yaml, if it exists."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Check this machine, Ray and the store, and say what to do about each fault.

    It changes nothing, and prints no secret. The exit code is 2 if anything has to be done before
    runs can work.
    """
    from ardm.doctor.examine import examine

    checks = examine(store, address, cluster)
    if json:
        show({"checks": [check._asdict() for check in checks]})
    else:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for check in checks:
            mark, color = ("ok", "green") if check.ok else ("fault", "red")
            rows = [check.finding, f"[bold]{_plain(check.remedy)}[/]" if check.remedy else ""]
            text = "\n".join([_plain(rows[0]), *filter(None, rows[1:])])
            table.add_row(f"[{color}]{mark}[/]", check.name, text)
        show_table(table)
    faults = sum(not check.ok for check in checks)
    if faults:
        raise InputError(f"{faults} of {len(checks)} checks found a fault; see what to do above")
    say(f"all {len(checks)} checks passed")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


COMMANDS = [doctor]

"""The command export."""

from pathlib import Path
from typing import Annotated

import typer

from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.options import (
    DEFAULT_STORE,
    AsJson,
    Budget,
    JobName,
    StoreUri,
    Target,
    describe,
    load_pretrained,
    provenance,
)
from ardm.config import MOST


@errors_as_messages
def export(
    target: Target = None,
    to: Annotated[Path, typer.Option("--to", help="A new or empty directory.")] = Path("exported"),
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    num: Annotated[
        int,
        typer.Option(min=1, max=MOST, help="Examples that the sampler draws at once."),
    ] = 16,
    budget: Budget = None,
    license: Annotated[
        str, typer.Option(help="Licence of the parameters, for the model card.")
    ] = "unknown",
    json: AsJson = False,
) -> None:
    """Write a model for people without ardm: parameters, sampler, scorer, model card, script."""
    pretrained = load_pretrained(target, store, job)
    files = pretrained.export(to, num=num, budget=budget, license=license)
    say(f"{describe(pretrained)}, exported to {to}; try: cd {to} && python sample.py")
    if json:
        show(provenance(pretrained) | {"to": str(to), "files": files})


COMMANDS = [export]

"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store

StoreUri = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="ARDM_STORE",
        help="Where runs live: a directory, or gs://bucket/x (s3://, az://).",
    ),
]
RunName = Annotated[str | None, typer.Argument(help="The run; default: the newest one.")]
Target = Annotated[
    str | None, typer.Argument(help="A run or a pulled directory; default: the newest run.")
]
JobName = Annotated[str | None, typer.Option("--job", help="Take the newest run of this job.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
JobFile = Annotated[Path, typer.Argument(help="The job file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")
]
NewRun = Annotated[str | None, typer.Option("--run", help="Name of the run; default: a new one.")]
Override = Annotated[
    bool, typer.Option("--override", help="Go on with another spec than the run's.")
]

DEFAULT_STORE = "./runs"


def find_run(store: str, name: str | None, job: str | None) -> Run:
    """The run that a command is about.

    Raises:
        NotFound: there is none; the message names those that exist.
    """
    place = Store(store)
    return Run(place, name) if name else registry.newest(place, job)

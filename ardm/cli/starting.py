"""The command init."""

from pathlib import Path
from typing import Annotated

import typer

from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.options import AsJson
from ardm.errors import InputError


@errors_as_messages
def init(
    name: Annotated[str, typer.Argument(help="Name of the job.")],
    data: Annotated[
        str | None,
        typer.Option(help="A folder of images, texts or WAV files, or one text; a path or a URL."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="The file to write; default: NAME.yaml, in jobs/ if it exists."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a commented job file; with --data, propose a model that fits them."""
    from ardm.job import proposal, template

    folder = Path("jobs") if Path("jobs").is_dir() else Path()
    path = to or folder / f"{name}.yaml"
    chosen = template.DIGITS if data is None else proposal.propose(proposal.absolute(data))
    text = template.job_file(name, chosen, path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError(
            f"{path} exists; choose another name, or another file with --out"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); name another with --out") from error
    if json:
        show({"file": str(path), "found": chosen.found, "net": chosen.net["kind"]})
        return
    say(f"found {chosen.found}")
    say(f"written to {path}; next: ardm validate {path}, then ardm train {path}")


COMMANDS = [init]

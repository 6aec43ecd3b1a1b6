"""How the command line speaks: results on stdout, all else on stderr, an error as one message."""

import functools
import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from rich.console import Console

from ardm.errors import ArdmError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

F = TypeVar("F", bound=Callable[..., None])


def say(text: str) -> None:
    """A message for a person, on stderr."""
    err.print(text, markup=False)


def show(value: dict[str, Any] | list[Any]) -> None:
    """The result for a program: one JSON value, alone on stdout."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def errors_as_messages(command: F) -> F:
    """End a command with the message and the exit code of an `ArdmError`; a bug keeps its trace."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ArdmError as error:
            err.print(f"[bold red]ardm:[/] {_escaped(str(error))}")
            raise typer.Exit(error.exit_code) from error

    return run  # type: ignore[return-value]


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")

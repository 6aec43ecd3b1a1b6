"""How the command line speaks: results on stdout, all else on stderr, an error as one message."""

import errno
import functools
import io
import sys
from collections.abc import Callable
from typing import Any, TextIO, TypeVar, cast

import typer
from rich.console import Console
from rich.text import Text

from ardm import strict_json
from ardm.errors import ArdmError, InputError, StoreUnreachable
from ardm.store.error_mapping import as_error

F = TypeVar("F", bound=Callable[..., None])

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ends: 128 and the number of SIGINT."""

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)


class _Stream(io.TextIOBase):
    """Standard output or error, which is dropped once its reader has gone.

    Neither a closed terminal nor `| head` makes a command fail, or keeps it from saving.

    Args:
        name: `stdout` or `stderr`, looked up at each use.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        return bool(self._try(lambda stream: stream.isatty()))

    def fileno(self) -> int:
        stream = self._stream()
        if stream is None:
            raise OSError(errno.EBADF, f"{self._name} is closed")
        return stream.fileno()

    def _stream(self) -> TextIO | None:
        stream = getattr(sys, self._name)
        # While Rich shows progress on a terminal, it puts a proxy there that leads back to here.
        found: TextIO | None = getattr(stream, "rich_proxied_file", stream)
        return found

    def _try(self, use: Callable[[TextIO], Any]) -> Any:
        stream = self._stream()
        if stream is None or stream.closed:
            return None
        try:
            return use(stream)
        except OSError as error:
            # A full disk is a failure of a result, but not of a message.
            if self._name == "stdout" and error.errno not in _GONE:
                raise InputError(f"standard output cannot be written: {error}") from error
        return None


_stdout = _Stream("stdout")
out = Console(file=cast(TextIO, _stdout), highlight=False, soft_wrap=True)
err = Console(file=cast(TextIO, _Stream("stderr")), highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A message for a person, on stderr."""
    err.print(text, markup=False)


def show(value: dict[str, Any] | list[Any]) -> None:
    """The result for a program: one JSON value, alone on stdout; what is not finite is null."""
    _stdout.write(strict_json.dumps(value, indent=1) + "\n")
    _stdout.flush()


def errors_as_messages(command: F, unreachable: type[ArdmError] = StoreUnreachable) -> F:
    """End a command with the message and the exit code of an `ArdmError`; a bug keeps its trace.

    Args:
        command: of the command line.
        unreachable: what an error of the store means to it.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as error:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from error
        except ArdmError as error:
            _end(error)
        except Exception as error:
            meant = as_error(error, kwargs.get("store"), unreachable)
            if meant is None:
                raise
            _end(meant)

    return run  # type: ignore[return-value]


def _end(error: ArdmError) -> None:
    # The message is no markup: brackets and backslashes in it mean nothing.
    err.print(Text.assemble(("ardm:", "bold red"), " ", str(error)))
    raise typer.Exit(error.exit_code) from error

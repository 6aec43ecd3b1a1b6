"""Output of the commands: results on stdout, messages on stderr, one message per error."""

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
"""The exit code of a command that Ctrl-C ended: 128 plus the number of SIGINT."""

_NO_READER = (errno.EPIPE, errno.EIO, errno.EBADF)


class _Stream(io.TextIOBase):
    """Standard output or standard error; output without a reader is discarded.

    A closed terminal, or a pipe to `head`, must not make a command fail before it has saved.

    Args:
        name: `stdout` or `stderr`; the stream of `sys` is looked up at each use.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def close(self) -> None:
        """Leave the stream open: it is not ours, and `sys` is gone when Python closes this."""

    def isatty(self) -> bool:
        return bool(self._try(lambda stream: stream.isatty()))

    def fileno(self) -> int:
        stream = self._stream()
        if stream is None:
            raise OSError(errno.EBADF, f"{self._name} is closed")
        return stream.fileno()

    def _stream(self) -> TextIO | None:
        stream = getattr(sys, self._name)
        # While Rich shows a progress bar, it replaces the stream by a proxy of this object.
        original: TextIO | None = getattr(stream, "rich_proxied_file", stream)
        return original

    def _try(self, use: Callable[[TextIO], Any]) -> Any:
        stream = self._stream()
        if stream is None or stream.closed:
            return None
        try:
            return use(stream)
        except OSError as error:
            # If a result cannot be written, as to a full disk, the command fails; messages may be
            # lost.
            if self._name == "stdout" and error.errno not in _NO_READER:
                raise InputError(f"standard output cannot be written: {error}") from error
        return None


_stdout = _Stream("stdout")
out = Console(file=cast(TextIO, _stdout), highlight=False, soft_wrap=True)
err = Console(file=cast(TextIO, _Stream("stderr")), highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a message on stderr."""
    err.print(text, markup=False)


def show(value: dict[str, Any] | list[Any]) -> None:
    """Print a result as JSON on stdout; numbers that are not finite become null."""
    _stdout.write(strict_json.dumps(value, indent=1) + "\n")
    _stdout.flush()


def errors_as_messages(command: F, unreachable: type[ArdmError] = StoreUnreachable) -> F:
    """Let a command print an `ArdmError` as a message and end with its exit code.

    Other exceptions are bugs and keep their traceback.

    Args:
        command: a function that implements a command.
        unreachable: the error that an unreachable store causes in this command.
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
            mapped = as_error(error, kwargs.get("store"), unreachable)
            if mapped is None:
                raise
            _end(mapped)

    return run  # type: ignore[return-value]


def _end(error: ArdmError) -> None:
    # Text is not parsed as markup: a message may contain brackets and backslashes.
    err.print(Text.assemble(("ardm:", "bold red"), " ", str(error)))
    raise typer.Exit(error.exit_code) from error

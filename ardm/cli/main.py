"""The command `ardm`."""

import os
import sys
import threading
from pathlib import Path

import typer

from ardm.cli import (
    budgeting,
    chaos,
    evaluating,
    jobs,
    node,
    planning,
    reporting,
    results,
    watching,
)
from ardm.cluster import access
from ardm.errors import Interrupted

app = typer.Typer(
    name="ardm",
    help="Train autoregressive diffusion models on machines that may vanish at any moment.",
    epilog=(
        "Exit codes: 0 done; 1 a bug; 2 bad input; 3 the job failed; "
        "4 no such run, checkpoint or store; 75 interrupted, state saved, run again to go on."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MODULES = [
    jobs,
    watching,
    results,
    evaluating,
    reporting,
    budgeting,
    planning,
    chaos,
    node,
]

for module in MODULES:
    for command in module.COMMANDS:
        app.command()(command)

GRACE = 2.0
"""Seconds from the end of a command to that of its process."""


def main() -> None:
    """The console script: the process ends with its command, whatever a library still waits for.

    At its end Python joins the threads of all executors, and Orbax has some; one that hangs in a
    call to a silent store would hold the process far beyond the notice of a machine.
    """
    _open_streams()
    os.environ.update(access.past_proxies(os.environ))
    code = 1
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        _flush()
        if code == Interrupted.exit_code:
            # A thread may still be compiling, which the interpreter's end does not expect.
            os._exit(code)
        timer = threading.Timer(GRACE, _leave, [code])
        timer.daemon = True
        timer.start()


def _leave(code: int) -> None:
    _flush()
    os._exit(code)


def _open_streams() -> None:
    """Give a process that was started without standard streams ones that lead nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w")  # noqa: SIM115  # until the process ends
            setattr(sys, name, nowhere)


def _flush() -> None:
    """Write what is buffered; a stream whose reader has gone leads nowhere from then on.

    The interpreter flushes again at its end, and would end with a code of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
        except ValueError:  # it is closed
            continue

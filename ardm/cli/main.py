"""The command `ardm`."""

import os
import sys
import threading
from pathlib import Path

import typer

from ardm import collection
from ardm.cli import (
    budgeting,
    chaos,
    compressing,
    doctoring,
    evaluating,
    exporting,
    inpainting,
    jobs,
    node,
    planning,
    reporting,
    results,
    serving,
    starting,
    watching,
)
from ardm.cli.examples import EXAMPLES
from ardm.cluster import access
from ardm.errors import Interrupted

app = typer.Typer(
    name="ardm",
    help="Train autoregressive diffusion models on machines that may be preempted at any time.",
    epilog=(
        "Exit codes: 0 done; 1 a bug; 2 bad input; 3 the job failed; 4 no such run, checkpoint or "
        "store; 75 interrupted, the state is saved, run the command again to continue."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MODULES = [
    starting,
    jobs,
    watching,
    results,
    inpainting,
    compressing,
    exporting,
    evaluating,
    reporting,
    serving,
    budgeting,
    planning,
    chaos,
    doctoring,
    node,
]

for module in MODULES:
    for command in module.COMMANDS:
        name = command.__name__.replace("_", "-")
        app.command(name, epilog="Examples:\n\n" + "\n\n".join(EXAMPLES[name]))(command)

GRACE = 2.0
"""The process ends at the latest this long after its command (seconds)."""


def main() -> None:
    """The console script; it ends the process with the command, even if threads are still busy.

    Python joins the threads of all executors when it ends, among them those of Orbax. A thread that
    waits for a store that does not answer would keep the process alive far beyond the notice of a
    preemption.
    """
    collection.seldom()
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
            # A thread may still be compiling, which can crash the interpreter when it ends.
            os._exit(code)
        collection.spare_what_there_is()
        timer = threading.Timer(GRACE, _exit, [code])
        timer.daemon = True
        timer.start()


def _exit(code: int) -> None:
    _flush()
    os._exit(code)


def _open_streams() -> None:
    """Open standard streams to the null device in a process that was started without them."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w")  # noqa: SIM115  # until the process ends
            setattr(sys, name, nowhere)


def _flush() -> None:
    """Flush the standard streams; redirect a stream without a reader to the null device.

    Otherwise the interpreter would fail to flush it again at its end, and change the exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
        except ValueError:  # it is closed
            continue

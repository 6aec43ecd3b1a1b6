"""The command `ardm`."""

import typer

from ardm.cli import (
    chaos,
    inpainting,
    jobs,
    likelihood,
    node,
    planning,
    policies,
    reporting,
    results,
    watching,
)

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
    likelihood,
    policies,
    inpainting,
    reporting,
    planning,
    chaos,
    node,
]

for module in MODULES:
    for command in module.COMMANDS:
        app.command()(command)

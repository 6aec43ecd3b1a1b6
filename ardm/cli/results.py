"""Commands that use what was trained: pull, sample."""

from pathlib import Path
from typing import Annotated

import typer

from ardm.api import Run
from ardm.cli import writing
from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.models import Budget, Seed, Steps, Temperature, about, named, opened
from ardm.cli.options import (
    DEFAULT_STORE,
    AsJson,
    JobName,
    RunName,
    StoreUri,
    Target,
    find_run,
)
from ardm.config import MOST


@errors_as_messages
def pull(
    run: RunName = None,
    to: Annotated[Path | None, typer.Option(help="Default: pulled/RUN.")] = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    json: AsJson = False,
) -> None:
    """Copy the newest verified checkpoint, with all that is needed to use it alone."""
    told = Run(find_run(store, run, job)).pull(to)
    for skip in told["skipped"]:
        say(f"step {skip['step']} is passed over: {skip['reason']}")
    say(f"step {told['step']} of {told['run']} is in {told['to']} (digest {told['digest'][:12]})")
    if json:
        show(told)


@errors_as_messages
def sample(
    target: Target = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    num: Annotated[int, typer.Option(min=1, max=MOST, help="Images.")] = 16,
    steps: Steps = None,
    budget: Budget = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="One order for all images: random, raster or centre-out; default: one for each."
        ),
    ] = None,
    seed: Seed = 0,
    temperature: Temperature = 1.0,
    to: Annotated[
        Path | None, typer.Option("--out", help="The picture to write: PNG, JPEG, ...")
    ] = None,
    chain: Annotated[Path | None, typer.Option(help="Also write the way there as a GIF.")] = None,
    json: AsJson = False,
) -> None:
    """Draw images from the newest verified checkpoint and write them as a PNG grid."""
    writing.require_writable("--out", to)
    writing.require_writable("--chain", chain, writing.MOVING)
    pretrained = opened(target, store, job)
    png = to or Path(f"{pretrained.name}-{pretrained.step}.png")
    writing.require_writable("--out", png)
    samples = pretrained.sample(
        num,
        budget=budget,
        steps=steps,
        order=order,
        temperature=temperature,
        seed=seed,
        chain=chain is not None,
    )
    writing.write_still(png, samples.png())
    if chain is not None and samples.chain is not None:
        from ardm.plots import pictures

        writing.write(chain, pictures.chain(samples.chain, samples.classes))
    calls = f"{samples.calls} network calls ({samples.policy})"
    say(f"{num} images of {named(pretrained)} in {calls}: {png}")
    if json:
        made = {"num": num, "steps": samples.calls, "policy": samples.policy}
        made |= {"order": order, "seed": seed, "temperature": temperature}
        show(about(pretrained) | made | {"png": str(png), "chain": str(chain) if chain else None})


COMMANDS = (pull, sample)

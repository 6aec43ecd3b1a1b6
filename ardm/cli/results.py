"""Commands that use what was trained: pull, sample."""

from pathlib import Path
from typing import Annotated

import typer

from ardm.cli import output
from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.options import (
    DEFAULT_STORE,
    AsJson,
    JobName,
    RunName,
    StoreUri,
    Target,
    find_run,
)
from ardm.cli.subject import (
    Budget,
    Seed,
    Steps,
    Temperature,
    about,
    calls,
    named,
    opened,
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
    from ardm.runs.pull import pull as copy

    found = find_run(store, run, job)
    told = copy(found, to or Path("pulled") / found.name)
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
    output.require_writable("--out", to)
    output.require_writable("--chain", chain, output.MOVING)
    subject = opened(target, store, job)
    png = to or Path(f"{subject.name}-{subject.step}.png")
    output.require_writable("--out", png)
    from ardm.model import orders
    from ardm.model.sampling import sample as generate
    from ardm.training import pictures
    from ardm.training.state import seed_key

    model, key = subject.model, seed_key(seed)
    made_by = calls(subject, steps, budget)
    made = generate(
        model.bind(subject.ema),
        key,
        num,
        made_by.starts,
        objective=model.objective,
        order=None if order is None else orders.fixed(order, key, model.objective.shape),
        temperature=temperature,
        keep_chain=chain is not None,
    )
    output.write_still(png, pictures.grid(made.images, model.classes))
    if chain is not None and made.chain is not None:
        output.write(chain, pictures.chain(made.chain, model.classes))
    number = len(made_by.starts)
    say(f"{num} images of {named(subject)} in {number} network calls ({made_by.kind}): {png}")
    if json:
        told = about(subject) | {"num": num, "steps": number, "policy": made_by.kind}
        told |= {"order": order, "seed": seed, "temperature": temperature}
        show(told | {"png": str(png), "chain": str(chain) if chain else None})


COMMANDS = (pull, sample)

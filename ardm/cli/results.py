"""Commands that use what was trained: pull, sample, evaluate."""

from pathlib import Path
from typing import Annotated, Any

import typer

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
from ardm.errors import InputError
from ardm.runs.store import Store


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
    num: Annotated[int, typer.Option(min=1, help="Images.")] = 16,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Network calls per image; default: one per pixel.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the orders and values drawn.")] = 0,
    temperature: Annotated[float, typer.Option(help="Below 1: likelier images.")] = 1.0,
    to: Annotated[Path | None, typer.Option("--out", help="The PNG to write.")] = None,
    chain: Annotated[Path | None, typer.Option(help="Also write the way there as a GIF.")] = None,
    json: AsJson = False,
) -> None:
    """Draw images from the newest verified checkpoint and write them as a PNG grid."""
    subject = _open(target, store, job)
    from ardm.model import policy
    from ardm.model.sampling import sample as draw
    from ardm.training import pictures
    from ardm.training.state import seed_key

    model = subject.model
    budget = model.D if steps is None else steps
    made = draw(
        model.bind(subject.ema),
        seed_key(seed),
        num,
        model.shape,
        policy.uniform(model.D, budget),
        output=model.output,
        temperature=temperature,
        keep_chain=chain is not None,
    )
    png = to or Path(f"{subject.name}-{subject.step}.png")
    _write(png, pictures.grid(made.images, model.classes))
    if chain is not None and made.chain is not None:
        _write(chain, pictures.chain(made.chain, model.classes))
    say(f"{num} images of step {subject.step} in {budget} network calls: {png}")
    if json:
        told = _about(subject) | {"num": num, "steps": budget, "seed": seed, "png": str(png)}
        show(told | {"chain": str(chain) if chain else None})


@errors_as_messages
def evaluate(
    target: Target = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    images: Annotated[int | None, typer.Option(min=1, help="Test images; default: all.")] = None,
    passes: Annotated[int, typer.Option(min=1, help="Orders and t per image.")] = 1,
    json: AsJson = False,
) -> None:
    """Estimate the NELBO of the EMA on the test set, with its standard error."""
    subject = _open(target, store, job)
    from ardm.data.dataset import load
    from ardm.runs.layout import shared_cache
    from ardm.training.evaluate import Evaluator

    data = load(subject.spec.data, shared_cache(Store(store), "data"))
    found = Evaluator(subject.model, subject.spec.seed)(subject.ema, data.test[:images], passes)
    say(
        f"test NELBO of step {subject.step}: {found.nelbo_bpd:.4f} ± {found.se_bpd:.4f} bits/dim "
        f"= {found.nelbo_nats:.2f} ± {found.se_nats:.2f} nats ({found.images} images, "
        f"{found.passes} pass{'es' if found.passes > 1 else ''})"
    )
    if json:
        show(_about(subject) | found._asdict())


def _open(target: str | None, store: str, job: str | None) -> Any:
    from ardm.runs.compilation import share_cache
    from ardm.runs.subject import open_subject
    from ardm.training.lanes import cores_here, use_cores

    use_cores(cores_here())
    place = Store(store)
    name = target or find_run(store, None, job).name
    share_cache(place)
    return open_subject(name, place, say)


def _about(subject: Any) -> dict[str, Any]:
    return {"run": subject.name, "step": subject.step, "digest": subject.digest}


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); name another with --out") from error


COMMANDS = (pull, sample, evaluate)

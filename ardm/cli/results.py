"""Commands that use what was trained: pull, sample, inpaint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ardm.cli import options
from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.options import (
    DEFAULT_SPLIT,
    DEFAULT_STORE,
    AsJson,
    Budget,
    JobName,
    RunName,
    Seed,
    Split,
    SplitName,
    Steps,
    StoreUri,
    Target,
    Temperature,
    about,
    find_run,
    named,
    opened,
)
from ardm.config import MOST
from ardm.errors import InputError
from ardm.runs import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ardm.pretrained import Pretrained


_USUAL_IMAGES = 6


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
    options.require_writable("--out", to)
    options.require_writable("--chain", chain, options.MOVING)
    pretrained = opened(target, store, job)
    png = to or Path(f"{pretrained.name}-{pretrained.step}.png")
    options.require_writable("--out", png)
    samples = pretrained.sample(
        num,
        budget=budget,
        steps=steps,
        order=order,
        temperature=temperature,
        seed=seed,
        chain=chain is not None,
    )
    options.write_still(png, samples.png())
    if chain is not None and samples.chain is not None:
        from ardm.plots import pictures

        options.write(chain, pictures.chain(samples.chain, samples.classes))
    calls = f"{samples.calls} network calls ({samples.policy})"
    say(f"{num} images of {named(pretrained)} in {calls}: {png}")
    if json:
        made = {"num": num, "steps": samples.calls, "policy": samples.policy}
        made |= {"order": order, "seed": seed, "temperature": temperature}
        show(about(pretrained) | made | {"png": str(png), "chain": str(chain) if chain else None})


@errors_as_messages
def inpaint(
    target: Target = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    image: Annotated[
        Path | None, typer.Option(help="A picture; default: images of --split.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, max=MOST, help=f"Of the split; default: {_USUAL_IMAGES}.")
    ] = None,
    split: Split = DEFAULT_SPLIT,
    mask: Annotated[
        Path | None, typer.Option(help="A picture, white where a pixel is given.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="What is given, by name: top-half (the default), bottom-half, left-half, "
            "right-half, centre, border, every-other."
        ),
    ] = None,
    completions: Annotated[int, typer.Option(min=1, max=MOST, help="Of each image.")] = 4,
    steps: Steps = None,
    budget: Budget = None,
    seed: Seed = 0,
    temperature: Temperature = 1.0,
    to: Annotated[
        Path | None, typer.Option("--out", help="The picture to write: PNG, JPEG, ...")
    ] = None,
    json: AsJson = False,
) -> None:
    """Complete images of which a part is given, each in several ways, as a PNG grid."""
    _require_one("--mask", mask, "--keep", keep)
    _require_one("--image", image, "--images", images)
    options.require_writable("--out", to)
    pretrained = opened(target, store, job)
    png = to or Path(f"{pretrained.name}-{pretrained.step}-inpaint.png")
    options.require_writable("--out", png)
    from ardm.plots.pictures import completion_grid

    known, originals = _all_or_faults(
        lambda: _known(pretrained, mask, keep), lambda: _originals(pretrained, image, split, images)
    )
    completed = pretrained.inpaint(
        originals,
        known,
        completions,
        budget=budget,
        steps=steps,
        temperature=temperature,
        seed=seed,
    )
    options.write_still(
        png, completion_grid(originals, known, completed.images, pretrained.model.classes)
    )
    count = len(originals)
    say(
        f"{count} image{'s' if count > 1 else ''}, {known.sum()} of {known.size} pixels given, "
        f"completed in {completions} way{'s' if completions > 1 else ''} by {named(pretrained)} in "
        f"{completed.calls} network calls ({completed.policy}): {png}"
    )
    if json:
        counts = {"images": count, "completions": completions, "pixels_given": int(known.sum())}
        made = {"steps": completed.calls, "seed": seed, "policy": completed.policy}
        made |= {"temperature": temperature, "png": str(png)}
        show(about(pretrained) | counts | made)


def _require_one(one: str, value: object, other: str, second: object) -> None:
    if value is not None and second is not None:
        raise InputError(f"{one} {value} and {other} {second} exclude each other; give one of them")


def _all_or_faults(*readers: "Callable[[], np.ndarray]") -> "list[np.ndarray]":
    """What all readers give, or what is wrong with all of it."""
    found, faults = [], []
    for read in readers:
        try:
            found.append(read())
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))
    return found


def _known(pretrained: "Pretrained", mask: Path | None, keep: str | None) -> "np.ndarray":
    from ardm.data.picture import read_mask
    from ardm.model.inpaint import keep as keep_region

    height, width, _ = pretrained.model.shape
    if mask is not None:
        return read_mask(mask, (height, width))
    return keep_region(keep or "top-half", height, width)


def _originals(
    pretrained: "Pretrained", image: Path | None, split: SplitName, images: int | None
) -> "np.ndarray":
    from ardm.data.picture import read_image

    if image is not None:
        return read_image(image, pretrained.model.shape, pretrained.model.classes, say)[None]
    return pretrained.images(split, images, usual=_USUAL_IMAGES)[0]


COMMANDS = (pull, sample, inpaint)

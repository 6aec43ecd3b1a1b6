"""Commands that use a trained model: pull, sample, inpaint."""

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
    describe,
    find_run,
    load_pretrained,
    provenance,
)
from ardm.config import MOST
from ardm.errors import InputError
from ardm.runs import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ardm.pretrained import Pretrained


_DEFAULT_IMAGES = 6


@errors_as_messages
def pull(
    run: RunName = None,
    to: Annotated[
        Path | None, typer.Option(help="The directory to copy to; default: pulled/RUN.")
    ] = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    json: AsJson = False,
) -> None:
    """Copy the newest verified checkpoint into a directory that can be used without the store."""
    pulled = Run(find_run(store, run, job)).pull(to)
    for skip in pulled["skipped"]:
        say(f"step {skip['step']} is skipped: {skip['reason']}")
    say(
        f"step {pulled['step']} of {pulled['run']} is in {pulled['to']} "
        f"(digest {pulled['digest'][:12]})"
    )
    if json:
        show(pulled)


@errors_as_messages
def sample(
    target: Target = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    num: Annotated[int, typer.Option(min=1, max=MOST, help="Number of images.")] = 16,
    steps: Steps = None,
    budget: Budget = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="One order for all images: random, raster or centre-out; default: a random order "
            "for each image."
        ),
    ] = None,
    seed: Seed = 0,
    temperature: Temperature = 1.0,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="The image file to write; its suffix selects the format."),
    ] = None,
    chain: Annotated[
        Path | None, typer.Option(help="Also write the generation process to this GIF file.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Draw images from the newest verified checkpoint, and write them as a grid."""
    options.require_writable("--out", to)
    options.require_writable("--chain", chain, options.MOVING)
    pretrained = load_pretrained(target, store, job)
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
    say(f"{num} images of {describe(pretrained)} in {calls}: {png}")
    if json:
        options_used = {"num": num, "steps": samples.calls, "policy": samples.policy}
        options_used |= {"order": order, "seed": seed, "temperature": temperature}
        files = {"png": str(png), "chain": str(chain) if chain else None}
        show(provenance(pretrained) | options_used | files)


@errors_as_messages
def inpaint(
    target: Target = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    image: Annotated[
        Path | None, typer.Option(help="An image file to complete; default: images of --split.")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help=f"Number of images of the split; default: {_DEFAULT_IMAGES}."
        ),
    ] = None,
    split: Split = DEFAULT_SPLIT,
    mask: Annotated[
        Path | None, typer.Option(help="An image file that is white where the pixel is given.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="The given region: top-half (the default), bottom-half, left-half, right-half, "
            "centre, border or every-other."
        ),
    ] = None,
    completions: Annotated[
        int, typer.Option(min=1, max=MOST, help="Number of completions of each image.")
    ] = 4,
    steps: Steps = None,
    budget: Budget = None,
    seed: Seed = 0,
    temperature: Temperature = 1.0,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="The image file to write; its suffix selects the format."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Complete images from given pixels, each in several ways, and write them as a grid."""
    _require_one("--mask", mask, "--keep", keep)
    _require_one("--image", image, "--images", images)
    options.require_writable("--out", to)
    pretrained = load_pretrained(target, store, job)
    png = to or Path(f"{pretrained.name}-{pretrained.step}-inpaint.png")
    options.require_writable("--out", png)
    from ardm.plots.pictures import completion_grid

    known, originals = _all_or_errors(
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
        f"completed in {completions} way{'s' if completions > 1 else ''} by "
        f"{describe(pretrained)} in {completed.calls} network calls ({completed.policy}): {png}"
    )
    if json:
        counts = {"images": count, "completions": completions, "pixels_given": int(known.sum())}
        options_used = {"steps": completed.calls, "seed": seed, "policy": completed.policy}
        options_used |= {"temperature": temperature, "png": str(png)}
        show(provenance(pretrained) | counts | options_used)


def _require_one(one: str, value: object, other: str, second: object) -> None:
    if value is not None and second is not None:
        raise InputError(f"{one} {value} and {other} {second} exclude each other; give one of them")


def _all_or_errors(*readers: "Callable[[], np.ndarray]") -> "list[np.ndarray]":
    """Call all readers; if some fail, report all of their errors at once."""
    results, errors = [], []
    for read in readers:
        try:
            results.append(read())
        except InputError as error:
            errors.append(str(error))
    if errors:
        raise InputError("\n".join(errors))
    return results


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
    return pretrained.images(split, images, usual=_DEFAULT_IMAGES)[0]


COMMANDS = (pull, sample, inpaint)

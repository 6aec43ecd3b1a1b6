"""The command that completes images of which a part is given: inpaint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ardm.cli import writing
from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.models import (
    DEFAULT_SPLIT,
    Budget,
    Seed,
    Split,
    SplitName,
    Steps,
    Temperature,
    about,
    named,
    opened,
)
from ardm.cli.options import DEFAULT_STORE, AsJson, JobName, StoreUri, Target
from ardm.config import MOST
from ardm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ardm.pretrained import Pretrained

_USUAL_IMAGES = 6


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
    writing.require_writable("--out", to)
    pretrained = opened(target, store, job)
    png = to or Path(f"{pretrained.name}-{pretrained.step}-inpaint.png")
    writing.require_writable("--out", png)
    from ardm.plots.completions import completion_grid

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
    writing.write_still(
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
    from ardm.model import inpaint

    height, width, _ = pretrained.model.shape
    if mask is not None:
        return read_mask(mask, (height, width))
    return inpaint.keep(keep or "top-half", height, width)


def _originals(
    pretrained: "Pretrained", image: Path | None, split: SplitName, images: int | None
) -> "np.ndarray":
    from ardm.data.picture import read_image

    if image is not None:
        return read_image(image, pretrained.model.shape, pretrained.model.classes, say)[None]
    return pretrained.images(split, images, usual=_USUAL_IMAGES)[0]


COMMANDS = (inpaint,)

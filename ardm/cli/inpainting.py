"""The command that completes images of which a part is given: inpaint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ardm.cli import output
from ardm.cli.console import errors_as_messages, say, show
from ardm.cli.options import DEFAULT_STORE, AsJson, JobName, StoreUri, Target
from ardm.cli.subject import (
    DEFAULT_SPLIT,
    Budget,
    Seed,
    Split,
    SplitName,
    Steps,
    Temperature,
    about,
    calls,
    images_of,
    named,
    opened,
)
from ardm.config import MOST
from ardm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ardm.runs.subject import Subject

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
    output.require_writable("--out", to)
    subject = opened(target, store, job)
    png = to or Path(f"{subject.name}-{subject.step}-inpaint.png")
    output.require_writable("--out", png)
    import numpy as np

    from ardm.model.inpainting import inpaint as complete
    from ardm.training.completions import completion_grid
    from ardm.training.state import seed_key

    model = subject.model
    known, originals = _all_or_faults(
        lambda: _known(subject, mask, keep),
        lambda: _originals(subject, store, image, split, images),
    )
    given = np.broadcast_to(known[..., None], model.objective.shape)
    made_by = calls(subject, steps, budget, int(given.sum()))
    made = complete(
        model.bind(subject.ema),
        seed_key(seed),
        originals,
        given,
        made_by.starts,
        completions,
        objective=model.objective,
        temperature=temperature,
    )
    output.write_still(png, completion_grid(originals, known, made, model.classes))
    number, count = len(made_by.starts), len(originals)
    say(
        f"{count} image{'s' if count > 1 else ''}, {known.sum()} of {known.size} pixels given, "
        f"completed in {completions} way{'s' if completions > 1 else ''} by {named(subject)} in "
        f"{number} network calls ({made_by.kind}): {png}"
    )
    if json:
        told = {"images": count, "completions": completions, "pixels_given": int(known.sum())}
        told |= {"steps": number, "seed": seed}
        more = {"policy": made_by.kind, "temperature": temperature, "png": str(png)}
        show(about(subject) | told | more)


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


def _known(subject: "Subject", mask: Path | None, keep: str | None) -> "np.ndarray":
    from ardm.data.picture import read_mask
    from ardm.model import inpainting

    height, width, _ = subject.model.shape
    if mask is not None:
        return read_mask(mask, (height, width))
    return inpainting.keep(keep or "top-half", height, width)


def _originals(
    subject: "Subject", store: str, image: Path | None, split: SplitName, images: int | None
) -> "np.ndarray":
    from ardm.data.picture import read_image

    if image is not None:
        return read_image(image, subject.model.shape, subject.model.classes, say)[None]
    return images_of(subject, store, split, images, usual=_USUAL_IMAGES)[0]


COMMANDS = (inpaint,)

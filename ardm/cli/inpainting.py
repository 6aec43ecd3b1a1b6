"""The command `inpaint`: completes images or texts of which a part is given."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ardm.cli import options
from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import (
    DEFAULT_SPLIT,
    DEFAULT_STORE,
    AsJson,
    Budget,
    JobName,
    Seed,
    Split,
    SplitName,
    Steps,
    StoreUri,
    Target,
    Temperature,
    describe,
    load_pretrained,
    medium_of,
    provenance,
)
from ardm.cli.results import write_waves
from ardm.config import MOST
from ardm.data.media import AUDIO, IMAGE, TEXT
from ardm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ardm.data.alphabet import Alphabet
    from ardm.data.media import Medium
    from ardm.data.waves import Sound
    from ardm.generated import Completions
    from ardm.pretrained import Pretrained


_DEFAULT_IMAGES = 6


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
    """Complete images, texts or recordings from a given part, each in several ways."""
    _require_one("--mask", mask, "--keep", keep)
    _require_one("--image", image, "--images", images)
    medium = medium_of(target, store, job)
    formats = options.FORMATS[medium]
    options.require_writable("--out", to, formats)
    if medium != IMAGE:
        _refuse_pictures(medium, image, mask)
    pretrained = load_pretrained(target, store, job)
    if medium != TEXT:
        suffix = "wav" if medium == AUDIO else "png"
        to = to or Path(f"{pretrained.name}-{pretrained.step}-inpaint.{suffix}")
        options.require_writable("--out", to, formats)
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
    count, words = len(originals), pretrained.medium
    what = words.examples if count > 1 else words.examples.removesuffix("s")
    say(
        f"{count} {what}, {known.sum()} of {known.size} {words.places} given, "
        f"completed in {completions} way{'s' if completions > 1 else ''} by "
        f"{describe(pretrained)} in {completed.calls} network calls ({completed.policy})"
        f"{f': {to}' if to else ''}"
    )
    counts = {"images": count, "completions": completions}
    used = {"steps": completed.calls, "seed": seed, "policy": completed.policy}
    used |= {"temperature": temperature}
    if pretrained.alphabet is not None:
        _write_texts(pretrained.alphabet, originals, known, completed, to, quiet=json)
        used |= {"characters_given": int(known.sum()), "texts": completed.texts}
    elif pretrained.sound is not None and to is not None:
        wavs = _write_waves(pretrained.sound, originals, known, completed, to)
        used |= {"samples_given": int(known.sum()), "wavs": wavs}
    elif to is not None:
        options.write_still(to, completed.png())
        used |= {"pixels_given": int(known.sum()), "png": str(to)}
    if json:
        show(provenance(pretrained) | counts | used)


def _write_texts(
    alphabet: "Alphabet",
    originals: "np.ndarray",
    known: "np.ndarray",
    completed: "Completions",
    to: Path | None,
    *,
    quiet: bool,
) -> None:
    """Write the originals, their given parts and their completions, or print them."""
    import numpy as np

    from ardm.data.alphabet import show_all
    from ardm.plots import text_sheets

    given = np.where(known[..., None], originals.astype(np.int32), -1)
    shown = zip(
        show_all(originals, alphabet), show_all(given, alphabet), completed.texts, strict=True
    )
    sheet = "\n".join(text_sheets.completions(*one) for one in shown)
    if to is not None:
        options.write(to, sheet.encode())
    elif not quiet:
        out.print(sheet.rstrip(), markup=False)


def _write_waves(
    sound: "Sound",
    originals: "np.ndarray",
    known: "np.ndarray",
    completed: "Completions",
    to: Path,
) -> list[str]:
    """Write the originals, their given parts with silence in the gaps, and their completions."""
    import numpy as np

    from ardm.plots import sound_sheets

    silence = 32_768 if sound.encoding == "linear" else 128
    given = np.where(known[..., None], originals, silence).astype(originals.dtype)
    values, names = [], []
    for number, (original, part, completions) in enumerate(
        zip(originals, given, completed.images, strict=True), 1
    ):
        values += [original, part, *completions]
        own = ["original", "given", *(str(n) for n in range(1, len(completions) + 1))]
        names += [f"{number}-{name}" for name in own]
    samples = sound.samples(np.stack(values)[:, :, 0, 0])
    png = sound_sheets.sheet(samples, sound.rate, names)
    return write_waves(to, [sound.wav(one) for one in values], png, names)


def _refuse_pictures(medium: "Medium", image: Path | None, mask: Path | None) -> None:
    own = "a text of your own with `ardm sample --infill`, or " if medium == TEXT else ""
    for option, path in (("--image", image), ("--mask", mask)):
        if path is not None:
            raise InputError(
                f"{option} {path}: the model generates {medium.examples}; complete {own}"
                "those of the split with --keep"
            )


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


COMMANDS = (inpaint,)

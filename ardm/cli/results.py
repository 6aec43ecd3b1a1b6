"""Commands that use a trained model: pull, sample."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ardm.cli import options
from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import (
    DEFAULT_STORE,
    AsJson,
    Budget,
    JobName,
    RunName,
    Seed,
    Steps,
    StoreUri,
    Target,
    Temperature,
    describe,
    find_run,
    load_pretrained,
    medium_of,
    provenance,
)
from ardm.config import MOST
from ardm.data.media import AUDIO, IMAGE, TEXT
from ardm.errors import InputError
from ardm.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ardm.generated import Samples


_DEFAULT_IMAGES, _DEFAULT_OTHERS = 16, 4


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
    num: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Number of images (default: 16), or of others (4)."),
    ] = None,
    steps: Steps = None,
    budget: Budget = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="One order for all images: random, raster or centre-out; default: a random order "
            "for each image."
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Characters of a text or samples of a recording; default: as a training sequence.",
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="The beginning of every text.")] = None,
    infill: Annotated[
        str | None,
        typer.Option(help="A text with a _ for each character to generate, anywhere."),
    ] = None,
    seed: Seed = 0,
    temperature: Temperature = 1.0,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The file to write: an image in the format of its suffix; .txt for texts, which "
            "are printed by default; .wav for recordings, one for each, with a .png of all.",
        ),
    ] = None,
    chain: Annotated[
        Path | None,
        typer.Option(
            help="Also write the generation process to this .gif file; that of texts also to .txt."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Draw images, texts or recordings from the newest verified checkpoint."""
    medium = medium_of(target, store, job)
    formats = options.FORMATS[medium]
    options.require_writable("--out", to, formats)
    if medium == AUDIO and chain:
        raise InputError(f"--chain {chain}: recordings have no picture of it; leave it out")
    moving = options.MOVING | (options.TEXT if medium == TEXT else {})
    options.require_writable("--chain", chain, moving)
    pretrained = load_pretrained(target, store, job)
    if medium != TEXT:
        suffix = "wav" if medium == AUDIO else "png"
        to = to or Path(f"{pretrained.name}-{pretrained.step}.{suffix}")
        options.require_writable("--out", to, formats)
    num = num or (_DEFAULT_IMAGES if medium == IMAGE else _DEFAULT_OTHERS)
    samples = pretrained.sample(
        num,
        budget=budget,
        steps=steps,
        order=order,
        temperature=temperature,
        seed=seed,
        chain=chain is not None,
        length=length,
        prompt=prompt,
        infill=infill,
    )
    say(
        f"{num} {pretrained.medium.examples} of {describe(pretrained)} in {samples.calls} network "
        f"calls ({samples.policy}){f': {to}' if to else ''}"
    )
    used = {"num": num, "steps": samples.calls, "policy": samples.policy}
    used |= {"order": order, "seed": seed, "temperature": temperature}
    used |= {"chain": str(chain) if chain else None}
    if medium == TEXT:
        _write_texts(samples, to, chain, quiet=json)
        used |= {"length": samples.images.shape[1], "texts": samples.texts}
        used |= {"out": str(to) if to else None}
    elif medium == AUDIO and to is not None:
        used |= {"length": samples.images.shape[1], "png": str(to.with_suffix(".png"))}
        used |= {"wavs": write_waves(to, samples.waves(), samples.png())}
    elif to is not None:
        options.write_still(to, samples.png())
        _write_chain(samples, chain)
        used |= {"png": str(to)}
    if json:
        show(provenance(pretrained) | used)


def _write_texts(samples: "Samples", to: Path | None, chain: Path | None, *, quiet: bool) -> None:
    """Write texts to a file, or print them unless `quiet`; write their chain."""
    from ardm.plots import text_sheets

    sheet = samples.texts[0] if len(samples.texts) == 1 else text_sheets.sheet(samples.texts)
    if to is not None:
        options.write(to, f"{sheet.rstrip()}\n".encode())
    elif not quiet:
        out.print(sheet.rstrip(), markup=False)
    if chain is not None:
        frames = samples.chain_texts()
        is_moving = chain.suffix.lower() in options.MOVING
        data = text_sheets.animation(frames) if is_moving else text_sheets.chain(frames).encode()
        options.write(chain, data)


def write_waves(
    to: Path, waves: "Sequence[bytes]", png: bytes, names: "Sequence[str]" = ()
) -> list[str]:
    """Write recordings beside each other, each with its name, and a picture of all.

    Args:
        to: path of the recordings, without their names.
        waves: the recordings.
        png: the picture.
        names: names of the recordings; default: their numbers.

    Returns:
        The paths of the recordings.
    """
    names = names or [str(number) for number in range(1, len(waves) + 1)]
    paths = [to.with_name(f"{to.stem}-{name}{to.suffix}") for name in names]
    for path, wave in zip(paths, waves, strict=True):
        options.write(path, wave)
    options.write(to.with_suffix(".png"), png)
    return [str(path) for path in paths]


def _write_chain(samples: "Samples", chain: Path | None) -> None:
    if chain is not None and samples.chain is not None:
        from ardm.plots import pictures

        options.write(chain, pictures.chain(samples.chain, samples.classes))


COMMANDS = (pull, sample)

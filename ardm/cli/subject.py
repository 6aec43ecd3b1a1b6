"""What the commands share that use a trained model: opening it, its data, its policies."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from ardm.cli.console import say
from ardm.cli.options import find_run
from ardm.config import LARGEST_SEED, MOST
from ardm.errors import InputError
from ardm.runs.layout import shared_cache
from ardm.runs.store import Store

if TYPE_CHECKING:
    import numpy as np

    from ardm.data.dataset import Dataset, Images
    from ardm.runs.subject import Subject

Steps = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST, help="Network calls per image, spread evenly; default: one per dimension."
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST, help="Network calls per image, where they help most (`ardm policy`)."
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the orders and values drawn.")]
Temperature = Annotated[float, typer.Option(help="Below 1: likelier images.")]


SplitName = Literal["valid", "test", "train"]
Split = Annotated[
    SplitName,
    typer.Option(
        "--split",
        help="Whose images: valid to choose by, test to report, train to see what was learnt.",
    ),
]
DEFAULT_SPLIT: SplitName = "valid"


class Calls(NamedTuple):
    """The network calls that a command makes for each image."""

    starts: "np.ndarray"
    kind: str
    """`optimal`, `uniform` or `sequential`."""


def opened(target: str | None, store: str, job: str | None) -> "Subject":
    """The newest verified checkpoint of a run or a pulled directory; default: the newest run.

    Raises:
        NotFound: there is none.
    """
    from ardm.runs.compilation import own_cache
    from ardm.runs.subject import open_subject
    from ardm.training.cores import cores_here
    from ardm.training.lanes import use_cores

    use_cores(cores_here())
    place = Store(store)
    name = target or find_run(store, None, job).name
    own_cache()
    return open_subject(name, place, say)


def about(subject: "Subject") -> dict[str, Any]:
    """What every result names: the run, the step and the digest that it came from, and the data."""
    data = subject.spec.data
    title = f"{data.dataset} (dynamic)" if data.binarize == "dynamic" else data.dataset
    found = {"run": subject.name, "step": subject.step, "digest": subject.digest}
    return found | {"data": title}


def data_of(subject: "Subject", store: str) -> "Dataset":
    """The data that a model was trained on."""
    from ardm.data.dataset import load

    return load(subject.spec.data, shared_cache(Store(store), "data"))


def images_of(
    subject: "Subject", store: str, split: SplitName, count: int | None, usual: int | None = None
) -> "tuple[Images, np.ndarray]":
    """Images of a split, evenly spread over it, and their indices in it.

    Args:
        subject: on whose data.
        store: where prepared data are kept.
        split: whose images.
        count: how many; None for the usual number.
        usual: how many where nobody asks for a number, at most; None for all of them.

    Raises:
        InputError: the split has not so many.
    """
    from ardm.data.dataset import spread_indices

    data = data_of(subject, store)
    images = data.images(split)
    if count is not None and count > len(images):
        raise InputError(
            f"--images {count}: the {split} split of {data.title} has {len(images)} images; give "
            "fewer, or leave the option out"
        )
    index = spread_indices(len(images), count or usual)
    return images[index], index


def calls(subject: "Subject", steps: int | None, budget: int | None, known: int = 0) -> Calls:
    """The policy that the options ask for.

    Args:
        subject: whose losses say where calls help most.
        steps: of a uniform policy.
        budget: of an optimal one.
        known: how many dimensions are given.

    Raises:
        InputError: both are given, or more calls than dimensions to generate.
    """
    from ardm.model import policy
    from ardm.runs.policies import best_known

    if steps and budget:
        raise InputError(
            f"--steps {steps} (evenly spread) and --budget {budget} (where they help most) exclude "
            "each other; give one of them"
        )
    stages = subject.model.objective.stages
    left = len(subject.L) - stages * known
    number = steps or budget or left
    starts = policy.remaining(
        best_known(subject), known, number, stages=stages, evenly=budget is None
    )
    kind = "sequential" if number == left else "uniform" if steps else "optimal"
    return Calls(starts, kind)


def named(subject: "Subject") -> str:
    """Step and digest, for a message; and that the binarization is dynamic, if it is."""
    dynamic = ", dynamic binarization" if subject.spec.data.binarize == "dynamic" else ""
    return f"step {subject.step} (digest {subject.digest[:12]}{dynamic})"

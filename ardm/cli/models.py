"""What the commands on trained models share: options, opening a model, and naming it."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ardm.cli.console import say
from ardm.cli.options import find_run
from ardm.config import LARGEST_SEED, MOST
from ardm.store.store import Store

if TYPE_CHECKING:
    from ardm.pretrained import Pretrained

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


def opened(target: str | None, store: str, job: str | None) -> "Pretrained":
    """The newest verified checkpoint of a run or a pulled directory; default: the newest run.

    Raises:
        NotFound: there is none.
    """
    from ardm.pretrained import load

    return load(target or find_run(store, None, job).name, Store(store), say)


def about(pretrained: "Pretrained") -> dict[str, Any]:
    """What every result names: the run, the step and the digest that it came from, and the data."""
    about = {"run": pretrained.name, "step": pretrained.step, "digest": pretrained.digest}
    return about | {"data": pretrained.data_title}


def named(pretrained: "Pretrained") -> str:
    """Step and digest, for a message; and that the binarization is dynamic, if it is."""
    dynamic = ", dynamic binarization" if pretrained.spec.data.binarize == "dynamic" else ""
    return f"step {pretrained.step} (digest {pretrained.digest[:12]}{dynamic})"

"""The command that tells how likely the test images are: evaluate."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import DEFAULT_STORE, AsJson, JobName, StoreUri, Target
from ardm.cli.subject import about, calls, named, opened, test_images
from ardm.config import MOST
from ardm.errors import InputError

if TYPE_CHECKING:
    from ardm.runs.subject import Subject
    from ardm.training.likelihood import Exact, Score

_EXACT_IMAGES = 16


@errors_as_messages
def evaluate(
    target: Target = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help=f"Test images; default: all, with --exact {_EXACT_IMAGES}."
        ),
    ] = None,
    passes: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Orders and t per image; default: 1.")
    ] = None,
    policy: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Under the optimal policy of so many calls.",
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="The exact log-likelihood: every call, no estimate."),
    ] = False,
    orders: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Random orders, with --exact; default: 1.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Estimate the NELBO of the EMA on the test set, or compute the likelihood exactly."""
    if orders and not exact:
        raise InputError(f"--orders {orders}: only the exact likelihood has orders; add --exact")
    if passes and exact:
        raise InputError(f"--passes {passes}: nothing is estimated with --exact; give --orders")
    subject = opened(target, store, job)
    if not exact:
        told = _nelbo(subject, store, images, passes or 1, policy)
    else:
        found = _exact(subject, store, images or _EXACT_IMAGES, orders or 1, policy)
        told = {"policy": policy} | _as_json(found)
        if not json:
            _print(found)
    if json:
        show(about(subject) | told)


def _nelbo(
    subject: "Subject", store: str, images: int | None, passes: int, budget: int | None
) -> dict[str, Any]:
    from ardm.training.evaluate import Evaluator

    starts = None if budget is None else calls(subject, None, budget).starts
    chosen = test_images(subject, store, images)
    evaluator = Evaluator(subject.model, subject.spec.seed)
    found = evaluator(subject.ema, chosen, passes, policy=starts)
    under = "" if budget is None else f" under the optimal policy of {budget} calls"
    say(
        f"test NELBO of {named(subject)}{under}: {found.nelbo_bpd:.4f} ± {found.se_bpd:.4f} "
        f"bits/dim = {found.nelbo_nats:.2f} ± {found.se_nats:.2f} nats ({found.images} images, "
        f"{found.passes} pass{'es' if found.passes > 1 else ''})"
    )
    return {"policy": budget} | found._asdict()


def _exact(subject: "Subject", store: str, images: int, orders: int, budget: int | None) -> "Exact":
    from ardm.training.likelihood import exact

    starts = calls(subject, None, budget).starts
    chosen = test_images(subject, store, images)
    say(
        f"exact likelihood of {len(chosen)} test images by {named(subject)}, in {len(starts)} "
        f"network calls per image and order"
    )

    def tell(order: int, score: "Score") -> None:
        say(f"order {order} of {orders}: {score.nll_bpd:.4f} ± {score.se_bpd:.4f} bits/dim")

    return exact(subject.model, subject.ema, subject.spec.seed, chosen, orders, starts, tell)


def _as_json(found: "Exact") -> dict[str, Any]:
    return found._asdict() | {
        "orders": [score._asdict() for score in found.orders],
        "mean": found.mean._asdict(),
        "ensemble": found.ensemble._asdict(),
    }


def _print(found: "Exact") -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("order")
    for heading in ("bits/dim", "nats"):
        table.add_column(heading, justify="right")
    rows = [(str(number), score) for number, score in enumerate(found.orders, 1)]
    if len(rows) > 1:
        rows += [("mean", found.mean), ("ensemble", found.ensemble)]
    for name, score in rows:
        bpd = f"{score.nll_bpd:.4f} ± {score.se_bpd:.4f}"
        table.add_row(name, bpd, f"{score.nll_nats:.2f} ± {score.se_nats:.2f}")
    out.print(table)
    out.print(
        f"negative log-likelihood ± standard error, {found.images} test images; "
        "ensemble: log mean exp over the orders, image by image"
    )


COMMANDS = (evaluate,)

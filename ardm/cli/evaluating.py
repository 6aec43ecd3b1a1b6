"""The command `evaluate`: the likelihood of held-out images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn
from rich.table import Table

from ardm.cli import options
from ardm.cli.console import err, errors_as_messages, out, say, show
from ardm.cli.options import (
    DEFAULT_SPLIT,
    DEFAULT_STORE,
    AsJson,
    JobName,
    Split,
    SplitName,
    StoreUri,
    Target,
    about,
    named,
    opened,
)
from ardm.cli.progress import duration
from ardm.config import LARGEST_SEED, MOST
from ardm.errors import InputError

if TYPE_CHECKING:
    from ardm.pretrained import Pretrained
    from ardm.training.estimates import Estimate
    from ardm.training.likelihood import Exact, Likelihood, Score


@errors_as_messages
def evaluate(
    target: Target = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    split: Split = DEFAULT_SPLIT,
    images: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Of the split; default: all, with --exact 16."),
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
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=LARGEST_SEED, help="Of the orders and t; default: that of the run."
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="An .npz file for the estimate of every image."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Estimate the NELBO of the EMA on held-out images, or compute the likelihood exactly."""
    if orders and not exact:
        raise InputError(f"--orders {orders}: only the exact likelihood has orders; add --exact")
    if passes and exact:
        raise InputError(f"--passes {passes}: nothing is estimated with --exact; give --orders")
    if to and exact:
        raise InputError(f"--out {to}: nothing is estimated with --exact; leave one of them out")
    options.require_writable("--out", to, options.ARRAYS)
    pretrained = opened(target, store, job)
    seed = pretrained.spec.seed if seed is None else seed
    if exact:
        likelihood = pretrained.likelihood(split, images, seed, policy)
        exactly = _exact(likelihood, f"{split} images by {named(pretrained)}", orders or 1)
        result = _as_json(exactly)
        if not json:
            _print(exactly, split)
    else:
        result = _estimate(pretrained, split, images, passes or 1, seed, policy, to)._asdict()
    if json:
        show(about(pretrained) | {"split": split, "seed": seed, "policy": policy} | result)


def _estimate(
    pretrained: "Pretrained",
    split: SplitName,
    images: int | None,
    passes: int,
    seed: int,
    budget: int | None,
    to: Path | None,
) -> "Estimate":
    from ardm.training.estimates import as_npz, estimate

    per_image, index = pretrained.per_image(split, images, passes, seed, budget)
    mean = estimate(per_image, pretrained.model.objective)
    under = "" if budget is None else f" under the optimal policy of {budget} calls"
    say(
        f"{split} NELBO of {named(pretrained)}{under}: {mean.nelbo_bpd:.4f} ± {mean.se_bpd:.4f} "
        f"bits/dim = {mean.nelbo_nats:.2f} ± {mean.se_nats:.2f} nats ({mean.images} images, "
        f"{mean.passes} pass{'es' if mean.passes > 1 else ''})"
    )
    if to:
        options.write(to, as_npz(per_image, index))
        say(f"the estimate of every image: {to}")
    return mean


def _exact(likelihood: "Likelihood", of_what: str, orders: int) -> "Exact":
    say(
        f"exact likelihood of {likelihood.count} {of_what}, in {likelihood.calls_per_image} "
        f"network calls per image and order: about {duration(orders * likelihood.seconds())}"
    )

    def report(order: int, score: "Score") -> None:
        say(f"order {order} of {orders}: {score.nll_bpd:.4f} ± {score.se_bpd:.4f} bits/dim")

    columns = (BarColumn(bar_width=30), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=orders * likelihood.calls)
        return likelihood.compute(orders, report, lambda: bar.advance(task))


def _as_json(found: "Exact") -> dict[str, Any]:
    together = [
        {"orders": one.orders, "ensemble": one.ensemble._asdict(), "best": one.best._asdict()}
        for one in found.together
    ]
    return found._asdict() | {
        "orders": [score._asdict() for score in found.orders],
        "mean": found.mean._asdict(),
        "ensemble": found.ensemble._asdict(),
        "together": together,
    }


def _print(found: "Exact", split: SplitName) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("orders")
    for heading in ("bits/dim", "nats"):
        table.add_column(heading, justify="right")
    rows = [(f"number {number}", score) for number, score in enumerate(found.orders, 1)]
    if len(rows) > 1:
        rows.append(("mean", found.mean))
        rows += [(f"ensemble of {one.orders}", one.ensemble) for one in found.together[1:]]
        rows += [(f"best of {one.orders}", one.best) for one in found.together[1:]]
    for name, score in rows:
        bpd = f"{score.nll_bpd:.4f} ± {score.se_bpd:.4f}"
        table.add_row(name, bpd, f"{score.nll_nats:.2f} ± {score.se_nats:.2f}")
    out.print(table)
    words = f"negative log-likelihood ± standard error, {found.images} {split} images"
    if len(found.orders) > 1:
        words += (
            "; ensemble of k: log mean exp over k orders, image by image; best of k: the best of "
            "k orders for each image, and ln k nats to name it"
        )
    out.print(words)


COMMANDS = (evaluate,)

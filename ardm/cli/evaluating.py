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
    describe,
    load_pretrained,
    provenance,
)
from ardm.cli.progress import duration
from ardm.cli.tables import show_table
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
        typer.Option(
            min=1, max=MOST, help="Number of images of the split; default: all, or 16 with --exact."
        ),
    ] = None,
    passes: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Random orders and times t per image; default: 1."),
    ] = None,
    policy: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Evaluate the optimal policy with this many network calls.",
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Compute the exact log-likelihood, with all network calls."),
    ] = False,
    orders: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Number of random orders with --exact; default: 1."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            help="Seed of the random orders and times t; default: the seed of the run.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="An .npz file to which the estimate of each image is written."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Estimate the NELBO of the EMA parameters on a split, or compute the exact likelihood."""
    if orders and not exact:
        raise InputError(f"--orders {orders}: only the exact likelihood has orders; add --exact")
    if passes and exact:
        raise InputError(f"--passes {passes}: nothing is estimated with --exact; give --orders")
    if to and exact:
        raise InputError(f"--out {to}: nothing is estimated with --exact; leave one of them out")
    options.require_writable("--out", to, options.ARRAYS)
    pretrained = load_pretrained(target, store, job)
    seed = pretrained.spec.seed if seed is None else seed
    if exact:
        likelihood = pretrained.likelihood(split, images, seed, policy)
        words = pretrained.medium
        examples = f"{split} {words.examples}"
        label = f"{examples} by {describe(pretrained)}"
        exact_scores = _exact(likelihood, label, orders or 1, words.unit)
        result = _as_json(exact_scores)
        if not json:
            _print(exact_scores, examples, words.unit)
    else:
        result = _estimate(pretrained, split, images, passes or 1, seed, policy, to)._asdict()
    if json:
        show(provenance(pretrained) | {"split": split, "seed": seed, "policy": policy} | result)


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
    words = pretrained.medium
    under = "" if budget is None else f" under the optimal policy of {budget} calls"
    say(
        f"{split} NELBO of {describe(pretrained)}{under}: {mean.nelbo_bpd:.4f} ± {mean.se_bpd:.4f} "
        f"{words.unit} = {mean.nelbo_nats:.2f} ± {mean.se_nats:.2f} nats "
        f"({mean.images} {words.examples}, "
        f"{mean.passes} pass{'es' if mean.passes > 1 else ''})"
    )
    if to:
        options.write(to, as_npz(per_image, index))
        say(f"the estimates of all {words.examples} are in {to}")
    return mean


def _exact(likelihood: "Likelihood", images: str, orders: int, unit: str) -> "Exact":
    say(
        f"exact likelihood of {likelihood.count} {images}, in {likelihood.calls_per_image} "
        f"network calls per image and order: about {duration(orders * likelihood.seconds())}"
    )

    def report(order: int, score: "Score") -> None:
        say(f"order {order} of {orders}: {score.nll_bpd:.4f} ± {score.se_bpd:.4f} {unit}")

    columns = (BarColumn(bar_width=30), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=orders * likelihood.calls)
        return likelihood.compute(orders, report, lambda: bar.advance(task))


def _as_json(exact: "Exact") -> dict[str, Any]:
    together = [
        {"orders": one.orders, "ensemble": one.ensemble._asdict(), "best": one.best._asdict()}
        for one in exact.together
    ]
    return exact._asdict() | {
        "orders": [score._asdict() for score in exact.orders],
        "mean": exact.mean._asdict(),
        "ensemble": exact.ensemble._asdict(),
        "together": together,
    }


def _print(exact: "Exact", examples: str, unit: str) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("orders")
    for heading in (unit, "nats"):
        table.add_column(heading, justify="right")
    rows = [(f"number {number}", score) for number, score in enumerate(exact.orders, 1)]
    if len(rows) > 1:
        rows.append(("mean", exact.mean))
        rows += [(f"ensemble of {one.orders}", one.ensemble) for one in exact.together[1:]]
        rows += [(f"best of {one.orders}", one.best) for one in exact.together[1:]]
    for name, score in rows:
        bpd = f"{score.nll_bpd:.4f} ± {score.se_bpd:.4f}"
        table.add_row(name, bpd, f"{score.nll_nats:.2f} ± {score.se_nats:.2f}")
    show_table(table)
    words = f"negative log-likelihood ± standard error, {exact.images} {examples}"
    if len(exact.orders) > 1:
        words += (
            "; ensemble of k: the likelihood of each image, averaged over k orders; best of k: the "
            "best of k orders for each image, plus ln k nats to encode which one"
        )
    out.print(words)


COMMANDS = (evaluate,)

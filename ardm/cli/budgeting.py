"""The command `policy`: find generation policies, and measure their cost."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ardm.cli import options
from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import (
    DEFAULT_SPLIT,
    DEFAULT_STORE,
    AsJson,
    JobName,
    Split,
    StoreUri,
    Target,
    describe,
    load_pretrained,
    provenance,
)
from ardm.cli.tables import show_table
from ardm.config import MOST
from ardm.errors import InputError

if TYPE_CHECKING:
    from ardm.training.estimates import Estimate
    from ardm.training.policy_costs import Measured


@errors_as_messages
def policy(
    target: Target = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    budgets: Annotated[
        str | None,
        typer.Option(
            help="Numbers of network calls per image; default: 10,20,50,100.",
        ),
    ] = None,
    split: Split = DEFAULT_SPLIT,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Number of images on which each policy is measured; default: 1000.",
        ),
    ] = None,
    passes: Annotated[
        int, typer.Option(min=1, max=MOST, help="Random orders and segments per image.")
    ] = 1,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="The image file of the curve; its suffix selects the format."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Find the optimal policy for few network calls per image, and measure its cost."""
    numbers = None if budgets is None else _numbers(budgets)
    options.require_writable("--out", to)
    pretrained = load_pretrained(target, store, job)
    png = to or Path(f"{pretrained.name}-{pretrained.step}-policy.png")
    options.require_writable("--out", png)
    from ardm.plots.curves import policy_curve

    unit = pretrained.medium.unit
    measured, losses = pretrained.policy(
        numbers, split, images=images, passes=passes, report=partial(_report, unit), warn=say
    )
    entries = [_entry(item) for item in measured]
    if not json:
        _print(measured, f"{split} {pretrained.medium.examples}", unit)
    title = f"{pretrained.name}, step {pretrained.step}"
    options.write_still(
        png, policy_curve(measured, title, split, pretrained.model.objective.stages, unit)
    )
    path = pretrained.kept_policies.keep(entries, losses)
    say(f"policies of {describe(pretrained)}: {path}; curve: {png}")
    if json:
        costs = [_cost(item) for item in measured if item.kind == "optimal"]
        show(
            provenance(pretrained)
            | {"split": split, "images": measured[-1].found.images, "budgets": costs}
            | {"policies": entries, "kept": path, "png": str(png)}
        )


def _numbers(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(
            f"--budgets {text!r}: expected numbers of network calls, such as 10,20,50,100"
        ) from None


def _report(unit: str, item: "Measured") -> None:
    say(f"measured {item.kind}, {item.budget} calls: {item.found.nelbo_bpd:.4f} {unit}")


def _entry(item: "Measured") -> dict[str, Any]:
    """A policy and its measured cost, as a JSON value."""
    entry = {
        "kind": item.kind,
        "budget": item.budget,
        "starts": item.starts.tolist(),
        "expected_nelbo_bpd": item.expected_bpd,
        "expected_nelbo_nats": item.expected_nats,
        **item.found._asdict(),
        "over_sequential_nats": item.extra.nelbo_nats,
        "over_sequential_se_nats": item.extra.se_nats,
    }
    if item.gain:
        entry |= {"saved_nats": item.gain.nelbo_nats, "saved_se_nats": item.gain.se_nats}
    return entry


def _cost(item: "Measured") -> dict[str, Any]:
    """The cost of the optimal policy of a budget, as a short JSON value."""
    return {
        "budget": item.budget,
        "over_sequential_nats": item.extra.nelbo_nats,
        "se_nats": item.extra.se_nats,
        "policy": item.starts.tolist(),
    }


def _print(measured: "list[Measured]", examples: str, unit: str) -> None:
    sequential = measured[-1]
    table = Table(box=None, pad_edge=False)
    table.add_column("network calls", justify="right")
    for heading in (unit, "extra nats", "saved nats"):
        table.add_column(heading, justify="right")
    for item in measured:
        if item.kind == "uniform":
            continue
        table.add_row(
            str(item.budget),
            f"{item.found.nelbo_bpd:.4f} ± {item.found.se_bpd:.4f}",
            "" if item is sequential else _signed(item.extra),
            _signed(item.gain) if item.gain else "",
        )
    show_table(table)
    estimate = sequential.found
    out.print(
        f"NELBO of the optimal policies on {estimate.images} {examples}, {estimate.passes} "
        f"pass{'es' if estimate.passes > 1 else ''}, ± standard error; extra nats: compared with "
        "one network call per dimension; saved nats: compared with the uniform policy of the same "
        "budget; both are paired differences over the same images, orders and steps"
    )


def _signed(difference: "Estimate") -> str:
    return f"{difference.nelbo_nats:+.2f} ± {difference.se_nats:.2f}"


COMMANDS = (policy,)

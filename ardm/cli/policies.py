"""The command that finds policies and measures them: policy."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ardm.cli import output
from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.options import DEFAULT_STORE, AsJson, JobName, StoreUri, Target
from ardm.cli.subject import about, named, opened, test_images
from ardm.config import MOST
from ardm.errors import InputError

if TYPE_CHECKING:
    from ardm.training.policies import Measured

_USUAL = (10, 20, 50, 100)


@errors_as_messages
def policy(
    target: Target = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    budgets: Annotated[
        str | None,
        typer.Option(
            help=f"Network calls per image; default: {','.join(map(str, _USUAL))}.",
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(min=1, max=MOST, help="Test images that each policy is measured on.")
    ] = 1000,
    passes: Annotated[
        int, typer.Option(min=1, max=MOST, help="Orders and segments per image.")
    ] = 1,
    to: Annotated[
        Path | None, typer.Option("--out", help="The picture to write: PNG, JPEG, ...")
    ] = None,
    json: AsJson = False,
) -> None:
    """Find the cheapest way to draw an image in few network calls, and measure what it costs."""
    wanted = None if budgets is None else _numbers(budgets)
    output.require_writable("--out", to)
    subject = opened(target, store, job)
    png = to or Path(f"{subject.name}-{subject.step}-policy.png")
    output.require_writable("--out", png)
    from ardm.runs import policies
    from ardm.training.evaluate import Evaluator
    from ardm.training.policies import measure
    from ardm.training.policy_curve import policy_curve

    if wanted is None:
        wanted = [
            budget
            for budget in _USUAL
            if subject.model.objective.stages <= budget <= len(subject.L)
        ]
    evaluator = Evaluator(subject.model, subject.spec.seed)
    chosen = test_images(subject, store, images)
    measured = measure(evaluator, subject.ema, subject.L, chosen, wanted, passes, _tell)
    entries = [_entry(item) for item in measured]
    if not json:
        _print(measured)
    title = f"{subject.name}, step {subject.step}"
    output.write_still(png, policy_curve(measured, title, subject.model.objective.stages))
    place = policies.keep(subject, entries)
    say(f"policies of {named(subject)}: {place}; curve: {png}")
    if json:
        show(about(subject) | {"policies": entries, "kept": place, "png": str(png)})


def _numbers(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(
            f"--budgets {text!r}: expected numbers of network calls, such as 10,20,50,100"
        ) from None


def _tell(item: "Measured") -> None:
    say(f"measured {item.kind}, {item.budget} calls: {item.found.nelbo_bpd:.4f} bits/dim")


def _entry(item: "Measured") -> dict[str, Any]:
    """A policy and its cost as a JSON value."""
    return {
        "kind": item.kind,
        "budget": item.budget,
        "starts": item.starts.tolist(),
        "expected_nelbo_bpd": item.expected_bpd,
        "expected_nelbo_nats": item.expected_nats,
        **item.found._asdict(),
    }


def _print(measured: "list[Measured]") -> None:
    sequential = measured[-1]
    table = Table(box=None, pad_edge=False)
    table.add_column("network calls", justify="right")
    for heading in ("expected", "measured", "over one at a time", "uniform, measured"):
        table.add_column(heading, justify="right")
    by_kind = {(item.kind, item.budget): item for item in measured}
    for item in measured:
        if item.kind == "uniform":
            continue
        uniform = by_kind.get(("uniform", item.budget))
        table.add_row(
            str(item.budget),
            f"{item.expected_bpd:.4f}",
            _measurement(item),
            "" if item is sequential else _difference(item, sequential),
            _measurement(uniform) if uniform else "",
        )
    out.print(table)
    found = sequential.found
    out.print(
        f"NELBO in bits/dim ± standard error, {found.images} test images, {found.passes} "
        f"pass{'es' if found.passes > 1 else ''}; expected: from the losses tracked in training"
    )


def _measurement(item: "Measured") -> str:
    return f"{item.found.nelbo_bpd:.4f} ± {item.found.se_bpd:.4f}"


def _difference(item: "Measured", other: "Measured") -> str:
    error = math.hypot(item.found.se_bpd, other.found.se_bpd)
    return f"{item.found.nelbo_bpd - other.found.nelbo_bpd:+.4f} ± {error:.4f}"


COMMANDS = (policy,)

"""Commands that summarize runs: report, compare."""

from itertools import combinations
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
    Seed,
    Split,
    StoreUri,
    complete_run,
    describe,
    find_run,
    load_pretrained,
)
from ardm.cli.tables import show_table
from ardm.config import MOST
from ardm.errors import InputError
from ardm.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ardm.pretrained import Pretrained
    from ardm.store.run_directory import Run as RunDirectory
    from ardm.training.estimates import Estimate, PerImage


_STANDARD_ERRORS = 2.0
"""Two runs differ if their difference exceeds this number of standard errors."""


@errors_as_messages
def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="Name of the run, or with --html of several; default: the newest run.",
            autocompletion=complete_run,
        ),
    ] = None,
    store: StoreUri = DEFAULT_STORE,
    job: JobName = None,
    on_demand_price: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Price per worker-hour on demand; adds the cost on such machines."
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write a page with curves, samples, attempts and cost to this file, or one that "
            "compares several runs."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Report the goodput of a run, the causes of lost time, its interruptions, saves and cost."""
    names: list[str] | list[None] = runs or [None]
    found = [find_run(store, name, job) for name in names]
    if html is not None:
        if json:
            raise InputError("--html writes a page, and --json prints JSON; give one of them")
        if on_demand_price is not None and len(found) > 1:
            raise InputError("--on-demand-price is for one run; a comparison shows no cost")
        options.require_writable("--html", html, options.HTML)
        options.write(html, page(found, on_demand_price).encode())
        say(f"written to {html}")
        return
    if len(found) > 1:
        raise InputError("several runs are compared in a page: give --html FILE, or name one run")
    result = Run(found[0]).report(on_demand_price)
    if json:
        show(result)
    else:
        _print_report(result)


def page(runs: "Sequence[RunDirectory]", on_demand_price: float | None = None) -> str:
    """The page of a run, or the one that compares several."""
    from ardm.html import pages
    from ardm.html.collect import collect

    collected = [collect(run, on_demand_price) for run in runs]
    if len(collected) == 1:
        return pages.run_page(collected[0])
    return pages.comparison_page(collected)


def _print_report(report: dict[str, Any]) -> None:
    goodput, saves, interruptions = report["goodput"], report["saves"], report["interruptions"]
    out.print(f"[bold]{report['run']}[/]  step {report['steps']} of {report['total_steps']}\n")
    if not goodput["wall_s"]:
        out.print("no attempt has begun")
        return
    table = Table("time", "seconds", "share", box=None, pad_edge=False, header_style="bold")
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, seconds in [("productive", goodput["productive_s"]), *goodput["badput"].items()]:
        share = f"{seconds / goodput['wall_s']:.1%}"
        table.add_row(name.replace("_", " "), f"{seconds:.1f}", share)
    table.add_row("wall", f"{goodput['wall_s']:.1f}", f"goodput {goodput['fraction']:.1%}")
    show_table(table)
    by_interruption = interruptions["steps_lost"] or "-"
    lines = [
        ("evaluation", f"{report['evaluation_s']:.1f} s of the productive time"),
        (
            "interruptions",
            f"{interruptions['count']}, {interruptions['noticed']} of them with notice",
        ),
        ("steps lost", f"{goodput['steps_lost']}; by interruption: {by_interruption}"),
    ]
    if report["skipped_steps"]:
        lines.append(("skipped", f"{report['skipped_steps']} steps that were not finite"))
    if goodput["idle_s"]:
        lines.append(
            (
                "idle",
                f"{goodput['idle_s']:.1f} s between the end of a job and the next submission",
            )
        )
    if saves["count"]:
        stall = saves["median_stall_s"]
        stalled = "" if stall is None else f", of which training stalled for {stall:.3f} s"
        size = f"{saves['bytes'] / 1e6:.1f} MB"
        medians = f"median size {size}, median time {saves['median_s']} s{stalled}"
        lines.append(("saves", f"{saves['count']}; {medians}"))
        if saves["interval_s"] is not None:
            lines.append(("interval", f"{saves['interval_s']:g} s between the last saves"))
    if saves["failed"]:
        lines.append(("failed saves", str(saves["failed"])))
    lines += _cost_lines(report["cost"])
    details = Table(box=None, show_header=False, pad_edge=False)
    for line in lines:
        details.add_row(*line)
    out.print()
    show_table(details)


def _cost_lines(cost: dict[str, Any] | None) -> list[tuple[str, str]]:
    if cost is None:
        return []
    lines = []
    if cost["total"] is not None:
        lines.append(("cost", f"{cost['total']:.4g} for {cost['worker_hours']:.4g} worker-hours"))
    if cost["on_demand_total"] is not None:
        hours = cost["productive_worker_hours"]
        lines.append(
            ("on demand", f"{cost['on_demand_total']:.4g} for {hours:.4g} productive worker-hours")
        )
    return lines


@errors_as_messages
def compare(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Two or more runs or pulled directories.",
            autocompletion=complete_run,
        ),
    ],
    store: StoreUri = DEFAULT_STORE,
    split: Split = DEFAULT_SPLIT,
    images: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Number of images of the split; default: all."),
    ] = None,
    passes: Annotated[
        int, typer.Option(min=1, max=MOST, help="Random orders and times t per image.")
    ] = 1,
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Compare the NELBO of runs on the same images, orders and generation steps."""
    if len(set(targets)) < 2 or len(set(targets)) < len(targets):
        raise InputError(
            f"compare {' '.join(targets)}: expected two or more different runs, such as "
            "`ardm compare RUN RUN`"
        )
    models = [load_pretrained(target, store, None) for target in targets]
    _require_same_data(models)
    chosen, _ = models[0].images(split, images)
    words = models[0].medium
    from ardm.training.estimates import difference, estimate

    estimates: list[PerImage] = []
    means: list[Estimate] = []
    for pretrained in models:
        estimates.append(pretrained.evaluator(seed).per_image(pretrained.params, chosen, passes))
        means.append(mean := estimate(estimates[-1], pretrained.model.objective))
        figures = f"{mean.nelbo_bpd:.4f} ± {mean.se_bpd:.4f} {words.unit}"
        say(f"{pretrained.name}, {describe(pretrained)}: {figures}")
    rows = []
    for one, other in combinations(range(len(models)), 2):
        both = (models[one].model.objective, models[other].model.objective)
        paired = difference(estimates[one], estimates[other], both)
        rows.append(_row(targets[one], targets[other], paired))
    if json:
        runs = [
            {
                "run": pretrained.name,
                "step": pretrained.step,
                "digest": pretrained.digest,
                **mean._asdict(),
            }
            for pretrained, mean in zip(models, means, strict=True)
        ]
        settings = {"split": split, "images": len(chosen), "passes": passes, "seed": seed}
        show(settings | {"metric": "nelbo_bpd", "runs": runs, "rows": rows})
        return
    _print(rows, dict(zip(targets, _labels(models, targets), strict=True)), words.unit)
    out.print(
        f"NELBO of the first run minus that of the second, ± standard error, on {len(chosen)} "
        f"{split} {words.examples} in pairs; runs differ if that is more than "
        f"{_STANDARD_ERRORS:.0f} standard errors"
    )


def _require_same_data(models: "list[Pretrained]") -> None:
    first, *others = models
    for other in others:
        # The job files may name the same images in different ways.
        same = other.spec.data == first.spec.data or other.data.sha256 == first.data.sha256
        if not same:
            raise InputError(
                f"{first.name} and {other.name} were trained on different data "
                f"({first.spec.data.dataset}, {other.spec.data.dataset}): compare runs of the "
                "same data"
            )


def _row(one: str, other: str, paired: "Estimate") -> dict[str, Any]:
    return {
        "a": one,
        "b": other,
        "difference": paired.nelbo_bpd,
        "se": paired.se_bpd,
        "difference_nats": paired.nelbo_nats,
        "se_nats": paired.se_nats,
        "differs": abs(paired.nelbo_nats) > _STANDARD_ERRORS * paired.se_nats,
    }


def _labels(models: "list[Pretrained]", targets: list[str]) -> list[str]:
    """The run names of the models; if they are not unique, the targets as given."""
    names = [pretrained.name for pretrained in models]
    return names if len(set(names)) == len(names) else targets


def _print(rows: list[dict[str, Any]], labels: dict[str, str], unit: str) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("runs", unit, "nats", ""):
        table.add_column(heading, justify="right" if heading in (unit, "nats") else "left")
    for row in rows:
        one, other = labels[row["a"]], labels[row["b"]]
        better = one if row["difference"] < 0 else other
        table.add_row(
            f"{one} - {other}",
            f"{row['difference']:+.4f} ± {row['se']:.4f}",
            f"{row['difference_nats']:+.2f} ± {row['se_nats']:.2f}",
            f"{better} is better" if row["differs"] else "no difference seen",
        )
    show_table(table)


COMMANDS = (report, compare)

"""The command that compares trained models on the same images: compare."""

from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ardm.cli.console import errors_as_messages, out, say, show
from ardm.cli.models import DEFAULT_SPLIT, Seed, Split, named, opened
from ardm.cli.options import DEFAULT_STORE, AsJson, StoreUri
from ardm.config import MOST
from ardm.errors import InputError

if TYPE_CHECKING:
    from ardm.pretrained import Pretrained
    from ardm.training.estimates import Estimate, PerImage

_ERRORS = 2.0
"""Standard errors that a difference must exceed to count as one."""


@errors_as_messages
def compare(
    targets: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="Runs or pulled directories.")
    ],
    store: StoreUri = DEFAULT_STORE,
    split: Split = DEFAULT_SPLIT,
    images: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Of the split; default: all.")
    ] = None,
    passes: Annotated[int, typer.Option(min=1, max=MOST, help="Orders and t per image.")] = 1,
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Compare the NELBO of runs in pairs: the same images, orders and generation steps."""
    if len(set(targets)) < 2 or len(set(targets)) < len(targets):
        raise InputError(
            f"compare {' '.join(targets)}: expected two or more different runs, such as "
            "`ardm compare RUN RUN`"
        )
    models = [opened(target, store, None) for target in targets]
    _require_same_data(models)
    chosen, _ = models[0].images(split, images)
    from ardm.training.estimates import difference, estimate

    estimates: list[PerImage] = []
    means: list[Estimate] = []
    for pretrained in models:
        estimates.append(pretrained.evaluator(seed).per_image(pretrained.params, chosen, passes))
        means.append(mean := estimate(estimates[-1], pretrained.model.objective))
        figures = f"{mean.nelbo_bpd:.4f} ± {mean.se_bpd:.4f} bits/dim"
        say(f"{pretrained.name}, {named(pretrained)}: {figures}")
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
        about = {"split": split, "images": len(chosen), "passes": passes, "seed": seed}
        show(about | {"metric": "nelbo_bpd", "runs": runs, "rows": rows})
        return
    _print(rows, dict(zip(targets, _labels(models, targets), strict=True)))
    out.print(
        f"NELBO of the first minus that of the second, ± standard error, on {len(chosen)} {split} "
        f"images in pairs; they differ where that is more than {_ERRORS:.0f} standard errors"
    )


def _require_same_data(models: "list[Pretrained]") -> None:
    first, *others = models
    for other in others:
        # Two jobs may name the same images in different ways.
        same = other.spec.data == first.spec.data or other.data.sha256 == first.data.sha256
        if not same:
            raise InputError(
                f"{first.name} and {other.name} were trained on different data "
                f"({first.spec.data.dataset}, {other.spec.data.dataset}): compare runs of the "
                "same images"
            )


def _row(one: str, other: str, paired: "Estimate") -> dict[str, Any]:
    return {
        "a": one,
        "b": other,
        "difference": paired.nelbo_bpd,
        "se": paired.se_bpd,
        "difference_nats": paired.nelbo_nats,
        "se_nats": paired.se_nats,
        "differs": abs(paired.nelbo_nats) > _ERRORS * paired.se_nats,
    }


def _labels(models: "list[Pretrained]", targets: list[str]) -> list[str]:
    """Names of the models for a table: of the runs, or as they were given where two are alike."""
    names = [pretrained.name for pretrained in models]
    return names if len(set(names)) == len(names) else targets


def _print(rows: list[dict[str, Any]], labels: dict[str, str]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("runs", "bits/dim", "nats", ""):
        table.add_column(heading, justify="right" if heading in ("bits/dim", "nats") else "left")
    for row in rows:
        one, other = labels[row["a"]], labels[row["b"]]
        better = one if row["difference"] < 0 else other
        table.add_row(
            f"{one} - {other}",
            f"{row['difference']:+.4f} ± {row['se']:.4f}",
            f"{row['difference_nats']:+.2f} ± {row['se_nats']:.2f}",
            f"{better} is better" if row["differs"] else "no difference seen",
        )
    out.print(table)


COMMANDS = (compare,)

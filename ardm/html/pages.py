"""The pages: HTML with charts of Plotly, whose script is in each page that is a file.

Plotly draws the charts, since it is what most people who look at training curves use. Jinja
escapes everything that comes from a run.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from itertools import combinations
from typing import Any, NamedTuple

import jinja2
import yaml
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ardm.html import charts
from ardm.html.collect import Collected, paired
from ardm.job.spec import differences

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("ardm.html", ""),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_STANDARD_ERRORS = 2.0


class Served(NamedTuple):
    """How a page is served, if it is no file.

    Attributes:
        plotly_url: address of Plotly's script.
        refresh: seconds after which a browser loads the page anew; None for never.
    """

    plotly_url: str
    refresh: int | None = None


def run_page(one: Collected, served: Served | None = None) -> str:
    """The page of a run; self-contained unless it is served."""
    figures = {
        "steps": charts.over_steps(one) if one.curve.train or one.curve.valid else None,
        "time": charts.over_time(one) if any(not r.undated for r in one.records) else None,
        "losses": charts.losses(one.losses) if one.losses else None,
        "policies": charts.policies(one.policies),
        "spent": charts.time_spent(one) if one.report["goodput"]["wall_s"] else None,
    }
    shown = {name: figure for name, figure in figures.items() if figure}
    status = one.status
    return _page(
        "run.html",
        shown,
        served,
        title=one.run.name,
        subtitle=f"job {one.spec.job} in {one.run.store.uri}",
        name=one.run.name,
        job=one.spec.job,
        charts=list(shown),
        tiles=_tiles(one),
        warnings=_warnings(status),
        samples=one.samples,
        plots=one.plots,
        attempts=status["attempts"],
        environments=_environments(one),
        digest=status["digest"],
        yaml=yaml.safe_dump(one.spec.copy_for_records(), sort_keys=False),
    )


def comparison_page(runs: Sequence[Collected], served: Served | None = None) -> str:
    """The page that compares runs; self-contained unless it is served."""
    names = [one.run.name for one in runs]
    pairs = []
    for a, b in combinations(runs, 2):
        if found := paired(a, b, "valid"):
            difference, error, number = found
            is_clear = abs(difference) > _STANDARD_ERRORS * error
            verdict = (
                f"{(b if difference < 0 else a).run.name} is better"
                if is_clear
                else "no clear difference"
            )
            figure = f"{difference:+.3f} ± {error:.3f}"
            pairs.append((b.run.name, a.run.name, figure, number, verdict))
    figures = {
        f"together-{number}": charts.together([one for one in runs if one.unit == unit])
        for number, unit in enumerate(dict.fromkeys(one.unit for one in runs), 1)
    }
    return _page(
        "comparison.html",
        figures,
        served,
        charts=list(figures),
        title="Comparison",
        subtitle=", ".join(names),
        names=names,
        rows=[_row(one) for one in runs],
        pairs=pairs,
        differences=_differing_keys(runs),
    )


def overview_page(found: Sequence[Mapping[str, Any]], store: str, served: Served) -> str:
    """The page that lists the runs of a store.

    Args:
        found: the runs, as `ardm.analysis.overview` returns them.
        store: address of the store.
        served: how the page is served.
    """
    rows = [
        {
            "run": one["run"],
            "state": one["state"],
            "step": ""
            if one["step"] is None
            else f"{one['step']:,} of {one['total_steps'] or 0:,}",
            "nelbo": "" if one["train_nelbo_bpd"] is None else f"{one['train_nelbo_bpd']:.4f}",
            "age": "" if one["age_s"] is None else f"{one['age_s']:,.0f} s ago",
            "created": one["created"][:19].replace("T", " "),
            "job": one["job"],
        }
        for one in reversed(found)
    ]
    return _page("overview.html", {}, served, title="Runs", subtitle=store, rows=rows)


def _page(template: str, figures: Mapping[str, Any], served: Served | None, **values: Any) -> str:
    folder = files("ardm.html")
    # `<` would end the element in which the JSON stands.
    data = json.dumps(figures, allow_nan=False, default=str).replace("<", "\\u003c")
    return _ENVIRONMENT.get_template(template).render(
        figures=Markup(data),
        style=Markup((folder / "style.css").read_text()),
        script=Markup((folder / "script.js").read_text()),
        plotly=None if served else Markup(get_plotlyjs()),
        plotly_url=served.plotly_url if served else None,
        version=version("ardm"),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        refresh=served.refresh if served else None,
        **values,
    )


def _tiles(one: Collected) -> list[tuple[str, str, str]]:
    """The figures at the top: a label, the value, and more about it."""
    status, report = one.status, one.report
    tiles = [
        ("state", status["state"], status["reason"] or ""),
        ("step", f"{status['step'] or 0:,}", f"of {status['total_steps']:,}"),
    ]
    metrics = status["metrics"]
    for split in ("valid", "test"):
        value, error = metrics[f"{split}_nelbo_bpd"], metrics[f"{split}_nelbo_se"]
        if value is not None and error is not None:
            more = f"± {error:.4f} {one.unit}, step {metrics[f'{split}_step']:,}"
            tiles.append((f"NELBO on {split} (EMA)", f"{value:.4f}", more))
    goodput = report["goodput"]
    if goodput["fraction"] is not None:
        lost = f"{goodput['steps_lost']} steps lost"
        tiles.append(("goodput", f"{goodput['fraction']:.1%}", lost))
    interruptions = report["interruptions"]
    noticed = f"{interruptions['noticed']} with notice"
    tiles.append(("interruptions", str(interruptions["count"]), noticed))
    if cost := report["cost"]:
        total = cost["total"]
        value = "unknown" if total is None else f"{total:.2f}"
        more = f"{cost['worker_hours']:.2f} worker-hours"
        if cost["on_demand_total"] is not None:
            more += f"; {cost['on_demand_total']:.2f} on demand"
        tiles.append(("cost", value, more))
    if saved := status["checkpoint"]:
        size = f"{saved['bytes'] / 1e6:.1f} MB"
        tiles.append(("newest checkpoint", f"step {saved['step']:,}", size))
    return tiles


def _warnings(status: Mapping[str, Any]) -> list[str]:
    found = [f"Cannot save: {status['save_error']}"] if status["save_error"] else []
    found += [f"Damaged checkpoint of step {s['step']}: {s['reason']}" for s in status["skipped"]]
    found += [
        f"Equal bits are not promised: {c['what']} changed from {c['old']} to {c['new']}"
        for c in status["changes"]
    ]
    found += [f"Equal bits are not promised: {line}" for line in status["workers_differ"]]
    if status["skipped_steps"]:
        found.append(f"{status['skipped_steps']} steps that were not finite are left out")
    return found


def _environments(one: Collected) -> list[dict[str, str]]:
    """The environments of the attempts; attempts with equal ones share a row."""
    rows: dict[tuple[str, str, str], list[int]] = {}
    for record in one.records:
        claim = record.claim
        libraries = claim.get("libraries")
        listed = libraries if isinstance(libraries, dict) else {}
        names = ", ".join(f"{name} {number}" for name, number in sorted(listed.items()))
        key = (str(claim.get("device", "unknown")), str(claim.get("python", "unknown")), names)
        rows.setdefault(key, []).append(record.attempt)
    return [
        {
            "attempts": _spans(numbers),
            "device": device,
            "python": python,
            "libraries": libraries,
        }
        for (device, python, libraries), numbers in rows.items()
    ]


def _spans(numbers: Sequence[int]) -> str:
    """Ascending numbers, with consecutive ones as a span: 1 to 3, 7."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in spans)


def _row(one: Collected) -> tuple[str, ...]:
    status, metrics = one.status, one.status["metrics"]

    def nelbo(split: str) -> str:
        value, error = metrics[f"{split}_nelbo_bpd"], metrics[f"{split}_nelbo_se"]
        return "" if value is None or error is None else f"{value:.4f} ± {error:.4f} {one.unit}"

    fraction = one.report["goodput"]["fraction"]
    return (
        one.run.name,
        status["state"],
        f"{status['step'] or 0:,} of {status['total_steps']:,}",
        nelbo("valid"),
        nelbo("test"),
        "" if fraction is None else f"{fraction:.1%}",
        (status["digest"] or "")[:12],
    )


def _differing_keys(runs: Sequence[Collected]) -> list[tuple[str, ...]]:
    """The keys of the job file in which any run differs from the first, with all values."""
    first = runs[0].spec
    keys = dict.fromkeys(
        line.partition(": ")[0]
        for one in runs[1:]
        for line in differences(first, one.spec)
        if not line.startswith("notify")
    )
    return [(key, *(str(_value(one.spec.copy_for_records(), key)) for one in runs)) for key in keys]


def _value(tree: Any, key: str) -> Any:
    for part in key.split("."):
        if isinstance(tree, list) and part.isdigit() and int(part) < len(tree):
            tree = tree[int(part)]
        elif isinstance(tree, dict):
            tree = tree.get(part)
        else:
            return None
    return tree

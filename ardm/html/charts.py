"""The charts of a page, as figures of Plotly: plain dictionaries, which the page's script draws."""

from collections.abc import Mapping, Sequence
from typing import Any

from ardm.events.events import number
from ardm.events.records import AttemptRecord
from ardm.html.collect import Collected
from ardm.store import registry

Figure = dict[str, Any]

COLORS = ("#2f81f7", "#d29922", "#3fb950", "#a371f7", "#f85149", "#39c5cf")
TRAIN, VALID, TEST = "#8b949e", "#2f81f7", "#d9622b"
OUTCOMES = {"completed": "#3fb950", "failed": "#f85149", "diverged": "#f85149"}
OTHER_OUTCOME, RUNNING = "#d29922", "#2f81f7"

MOST_SAVES = 500
"""Largest number of saves that are marked in a chart."""


def over_steps(one: Collected) -> Figure:
    """NELBO over training steps, with evaluations and their errors; below, attempts and saves."""
    train = one.curve.train
    traces = [_line(train, "train, batch means", TRAIN, width=1)] if train else []
    for points, name, color in ((one.curve.valid, "valid", VALID), (one.curve.test, "test", TEST)):
        if points:
            traces.append(_points(points, f"{name} (EMA)", color))
    bars = [
        (record, record.first_step, record.last_step)
        for record in one.records
        if record.first_step is not None and record.last_step is not None
    ]
    saves = [(step, step) for step in sorted({step for _, step in one.saves})]
    figure = _figure(traces, "training step", f"NELBO ({one.unit})", zoom=_range(one))
    return _with_lanes(figure, bars, saves)


def over_time(one: Collected) -> Figure:
    """NELBO over wall time; below, attempts and saves."""
    traces: list[dict[str, Any]] = []
    if one.timed:
        train = {
            "x": [_when(point.time) for point in one.timed],
            "y": [point.bpd for point in one.timed],
            "text": [f"step {point.step:,}" for point in one.timed],
            "name": "train, batch means",
            "mode": "lines",
            "line": {"color": TRAIN, "width": 1},
        }
        traces.append(train)
    bars = [
        (record, _when(record.began or record.started), _when(end))
        for record in one.records
        if not record.undated and (end := record.ended or record.last_seen)
    ]
    figure = _figure(traces, "", f"NELBO ({one.unit})", zoom=_range(one))
    return _with_lanes(figure, bars, [(_when(time), step) for time, step in one.saves])


def _with_lanes(
    figure: Figure,
    bars: Sequence[tuple[AttemptRecord, Any, Any]],
    saves: Sequence[tuple[Any, int]],
) -> Figure:
    """A figure with two lanes below: a bar for each attempt by outcome, and a tick for each save.

    Args:
        figure: the figure.
        bars: attempts, and where on the x axis each began and ended.
        saves: the places of the saves on the x axis, and their steps.
    """
    by_outcome: dict[str, list[tuple[AttemptRecord, Any, Any]]] = {}
    for bar in bars:
        by_outcome.setdefault(str(bar[0].outcome or "running"), []).append(bar)
    for outcome, together in by_outcome.items():
        x: list[Any] = []
        texts: list[str] = []
        for record, begin, end in together:
            text = f"attempt {record.attempt}: {outcome}<br>{_safe(record.reason)}"
            x += [begin, end, None]  # None parts the bars of one trace
            texts += [text, text, ""]
        usual = RUNNING if outcome == "running" else OTHER_OUTCOME
        figure["data"].append(
            {
                "x": x,
                "y": [0, 0, None] * len(together),
                "yaxis": "y2",
                "text": texts,
                "hoverinfo": "text",
                "mode": "lines+markers",
                "marker": {"symbol": "line-ns-open", "size": 10},  # where one ends and one begins
                "line": {"color": OUTCOMES.get(outcome, usual), "width": 8},
                "name": outcome.replace("_", " "),
            }
        )
    if saves:
        every = -(-len(saves) // MOST_SAVES)
        shown = [*saves[::-every]][::-1]  # the newest is among them
        figure["data"].append(
            {
                "x": [place for place, _ in shown],
                "y": [1] * len(shown),
                "yaxis": "y2",
                "text": [f"saved step {step:,}" for _, step in shown],
                "hoverinfo": "text",
                "mode": "markers",
                "marker": {"symbol": "line-ns-open", "size": 7, "color": TRAIN},
                "name": "saves" if every == 1 else f"saves (one of {every} is shown)",
            }
        )
    figure["layout"]["yaxis"]["domain"] = [0.22, 1]
    figure["layout"]["yaxis2"] = {
        "domain": [0, 0.14],
        "range": [-1, 2],
        "tickvals": [0, 1],
        "ticktext": ["attempts", "saves"],
        "fixedrange": True,
        "automargin": True,
        "zeroline": False,
        "showgrid": False,
    }
    figure["layout"]["xaxis"]["anchor"] = "y2"
    return figure


def losses(values: Sequence[float]) -> Figure:
    """The expected loss of a dimension at each generation step."""
    trace = {
        "x": list(range(len(values))),
        "y": list(values),
        "mode": "lines",
        "line": {"color": VALID, "width": 2},
        "showlegend": False,
    }
    return _figure([trace], "generation step t", "L[t] (nats per dimension)")


def policies(found: Sequence[Mapping[str, Any]]) -> Figure | None:
    """What fewer network calls cost, with errors; None if no policy has such a figure."""
    traces = []
    for kind, color in (("optimal", VALID), ("uniform", OTHER_OUTCOME)):
        chosen = sorted(
            (
                (p["budget"], p["over_sequential_nats"], number(p, "se_nats") or 0.0)
                for p in found
                if p.get("kind") == kind and number(p, "over_sequential_nats") is not None
            ),
            key=lambda point: point[0],
        )
        if chosen:
            budgets, nats, errors = zip(*chosen, strict=True)
            traces.append(
                {
                    "x": budgets,
                    "y": nats,
                    "error_y": {"type": "data", "array": errors, "thickness": 1},
                    "name": kind,
                    "mode": "lines+markers",
                    "line": {"color": color},
                }
            )
    if not traces:
        return None
    figure = _figure(traces, "network calls", "nats more than one dimension per call")
    figure["layout"]["xaxis"]["type"] = "log"
    return figure


def time_spent(one: Collected) -> Figure:
    """How the wall time was spent, as one bar."""
    spent = one.report["goodput"]
    parts = [("productive", spent["productive_s"]), *spent["badput"].items()]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "y": [""],
            "x": [seconds],
            "name": name.replace("_", " "),
            "hovertemplate": f"{name.replace('_', ' ')}: {seconds:,.1f} s<extra></extra>",
            "marker": {"color": color},
        }
        for (name, seconds), color in zip(parts, _spread(len(parts)), strict=True)
        if seconds
    ]
    figure = _figure(traces, "seconds", "")
    figure["layout"] |= {"barmode": "stack", "height": 210}
    figure["layout"]["margin"] |= {"t": 70, "l": 12}
    figure["layout"]["legend"] |= {"y": 1.15, "yanchor": "bottom", "traceorder": "normal"}
    return figure


def together(runs: Sequence[Collected]) -> Figure:
    """The validation curves of several runs of one unit, over steps."""
    traces = []
    for one, color in zip(runs, _cycled(len(runs)), strict=True):
        if one.curve.valid:
            traces.append(_points(one.curve.valid, one.run.name, color, line=True))
        else:
            traces.append(_line(one.curve.train, f"{one.run.name} (train)", color, width=1))
    return _figure(traces, "training step", f"NELBO on valid ({runs[0].unit})")


def _line(points: Mapping[int, float], name: str, color: str, width: float) -> dict[str, Any]:
    return {
        "x": list(points),
        "y": list(points.values()),
        "name": name,
        "mode": "lines",
        "line": {"color": color, "width": width},
    }


def _points(
    points: Mapping[int, tuple[float, float]], name: str, color: str, *, line: bool = False
) -> dict[str, Any]:
    return {
        "x": list(points),
        "y": [value for value, _ in points.values()],
        "error_y": {"type": "data", "array": [e for _, e in points.values()], "thickness": 1},
        "name": name,
        "mode": "lines+markers" if line or len(points) > 1 else "markers",
        "line": {"color": color, "width": 2},
        "marker": {"size": 7},
    }


def _figure(
    traces: list[dict[str, Any]], x: str, y: str, zoom: list[float] | None = None
) -> Figure:
    """A figure without colors of text and grid, which the page's script sets by its theme."""
    layout: Figure = {
        "xaxis": {"title": {"text": x}, "automargin": True},
        "yaxis": {"title": {"text": y}, "automargin": True},
        "height": 360,
        "margin": {"t": 36, "r": 12, "b": 48, "l": 64},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
    }
    if zoom:
        layout["yaxis"]["range"] = zoom
    return {"data": traces, "layout": layout}


def _range(one: Collected) -> list[float] | None:
    """The part of the axis that matters: the first steps would flatten the rest."""
    train = sorted(one.curve.train.values())
    held_out = [v for points in (one.curve.valid, one.curve.test) for v, _ in points.values()]
    if not train:
        return None
    low, high = min([train[0], *held_out]), train[int(0.97 * (len(train) - 1))]
    high = max([high, *sorted(held_out)[: max(len(held_out) - 1, 1)]])
    margin = 0.05 * (high - low) or 0.01
    return [low - margin, high + margin]


def _spread(count: int) -> list[str]:
    palette = (COLORS[2], COLORS[1], COLORS[3], COLORS[5], COLORS[4], "#db61a2", TRAIN, "#bf8700")
    return [palette[i % len(palette)] for i in range(count)]


def _cycled(count: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(count)]


def _when(seconds: float) -> str:
    return registry.utc(seconds).strftime("%Y-%m-%d %H:%M:%S")


def _safe(text: str) -> str:
    """Text for a label of Plotly, which reads some tags of HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

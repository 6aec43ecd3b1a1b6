"""The live view of a run: what `ardm watch` draws in a terminal, from what it read of the store."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ardm.cli.progress import duration
from ardm.events.curve import Curve
from ardm.events.events import number, whole

BARS = "▁▂▃▄▅▆▇█"

ATTEMPTS = 4
"""Number of newest attempts that are shown."""

WIDEST, SHORTEST_CURVE, LONGEST_CURVE, FIGURES = 120, 10, 60, 34
"""Columns of the widest view, of the shortest and longest curve, and of the figures after it."""

COLORS = {"completed": "green", "failed": "red", "stopped": "yellow", "superseded": "yellow"}
"""Colors of the states; others are those of a run that goes on."""

_IN_A_LINE = ("train", "valid", "speed", "saved", "warning")
"""The rows that a line for a pipe holds."""


@dataclass
class View:
    """What is known about a run at a moment.

    Attributes:
        status: the status, as `ardm status --json` prints it.
        progress: the progress object of the newest attempt, which may be newer than the status.
        curve: the loss curve.
        read: when the progress was read (seconds since 1970).
        fault: why nothing newer is known; empty if there is no such reason.
    """

    status: Mapping[str, Any]
    progress: Mapping[str, Any]
    curve: Curve = field(default_factory=Curve)
    read: float = field(default_factory=time.time)
    fault: str = ""

    @property
    def state(self) -> str:
        """The state, the newest that is known."""
        return str(self.progress.get("state") or self.status["state"])

    @property
    def step(self) -> int:
        """The last finished step."""
        return whole(self.progress, "step") or self.status["step"] or 0


def draw(view: View, width: int) -> RenderableType:
    """Draw the view.

    Args:
        view: what is known.
        width: columns of the terminal.
    """
    inner = max(width - 4, 20)
    status = view.status
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(view, inner - 10):
        table.add_row(name, value)
    color = COLORS.get(view.state, "cyan")
    title = Text.assemble((status["run"], "bold"), " · ", (view.state, f"bold {color}"))
    parts: list[RenderableType] = [_bar(view, inner), table]
    return Panel(Group(*parts), title=title, title_align="left", width=min(width, WIDEST))


def line(view: View) -> str:
    """The view in one line, for logs and pipes."""
    total = view.status["total_steps"]
    parts = [f"{view.status['run']}: {view.state}, step {view.step} of {total}"]
    parts += [f"{name} {value.plain}" for name, value in _rows(view, 0) if name in _IN_A_LINE]
    return " · ".join(parts)


def change(view: View) -> tuple[Any, ...]:
    """What makes a new line: the state, the attempt, saves, evaluations and warnings."""
    warning = _warning(view)
    return (
        view.state,
        view.progress.get("attempt"),
        whole(view.progress, "saved_step"),
        max(view.curve.valid, default=None),
        warning and warning.plain,
    )


def sparkline(
    points: Mapping[int, float],
    last: int,
    width: int,
    bounds: tuple[float, float],
    *,
    joined: bool = False,
) -> str:
    """A curve in one line of block characters.

    Args:
        points: values by step.
        last: the step at the right end; the left end is step 0.
        width: number of characters.
        bounds: the values of the lowest and the highest character.
        joined: whether gaps between points are filled with the value before them.
    """
    bins: list[list[float]] = [[] for _ in range(width)]
    for step, value in points.items():
        bins[min(step * width // max(last, 1), width - 1)].append(value)
    low, high = bounds
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    if joined:
        filled = [number for number, values in enumerate(bins) if values]
        for number in range(filled[0] + 1, filled[-1]) if filled else ():
            bins[number] = bins[number] or bins[number - 1]
    levels = [None if not b else min(max((fmean(b) - low) * scale, 0), len(BARS) - 1) for b in bins]
    return "".join(" " if level is None else BARS[round(level)] for level in levels)


def _bar(view: View, width: int) -> RenderableType:
    total = view.status["total_steps"]
    text = f" {100 * view.step / max(total, 1):.0f} %  step {view.step:,} of {total:,}"
    row = Table.grid(expand=False)
    row.add_row(
        ProgressBar(total=total, completed=view.step, width=max(width - len(text), 10)), text
    )
    return row


def _rows(view: View, width: int) -> list[tuple[str, Text]]:
    """The lines below the bar; `width` columns are left for a curve, 0 for none."""
    rows = [("speed", _speed(view)), *_curves(view, width), ("saved", _saved(view))]
    goodput = view.status["goodput"]
    if goodput["fraction"] is not None:
        lost = goodput["steps_lost"]
        rows.append(("goodput", Text(f"{goodput['fraction']:.1%}, {lost} steps lost")))
    for attempt in view.status["attempts"][-ATTEMPTS:]:
        rows.append((f"#{attempt['attempt']}", _attempt(attempt)))
    if warning := _warning(view):
        rows.append(("warning", warning))
    return [(name, text) for name, text in rows if text.plain]


def _speed(view: View) -> Text:
    rate, eta = number(view.progress, "steps_per_s"), number(view.progress, "eta_s")
    if not rate or view.state not in ("training", "saving"):
        return Text(str(view.status["reason"]))
    return Text(f"{rate:.2f} steps/s" + (f", {duration(eta)} left" if eta else ""))


def _curves(view: View, width: int) -> list[tuple[str, Text]]:
    unit, curve = view.status["unit"], view.curve
    train = number(view.progress, "train_nelbo_bpd")
    valid = {step: value for step, (value, _) in curve.valid.items()}
    values = sorted([*curve.train.values(), *valid.values()])
    length = min(width - FIGURES, LONGEST_CURVE)
    last = max([*curve.train, *valid], default=0)
    # The first steps would flatten the rest.
    bounds = (values[0], values[int(0.9 * (len(values) - 1))]) if values else (0.0, 1.0)

    def of(points: Mapping[int, float], *, joined: bool = False) -> str:
        if length <= SHORTEST_CURVE or not values:
            return ""
        return f"{sparkline(points, last, length, bounds, joined=joined)}  "

    rows = []
    if train is not None:
        text = Text.assemble((of(curve.train, joined=True), "cyan"), f"{train:.4f} {unit}")
        rows.append(("train", text))
    if valid:
        step = max(valid)
        value, error = curve.valid[step]
        figure = f"{value:.4f} ± {error:.4f} at step {step:,}"
        rows.append(("valid", Text.assemble((of(valid), "green"), figure)))
    return rows


def _saved(view: View) -> Text:
    saved, when = whole(view.progress, "saved_step"), number(view.progress, "saved_time")
    checkpoint = view.status["checkpoint"]
    if saved is None or when is None:
        if checkpoint is None:
            return Text("no checkpoint yet")
        return Text(f"step {checkpoint['step']:,}, {duration(checkpoint['age_s'])} ago")
    # Both times are of the training machine's clock.
    written = number(view.progress, "time") or when
    age = max(written - when, 0.0) + max(time.time() - view.read, 0.0)
    size = f", {checkpoint['bytes'] / 1e6:.1f} MB" if checkpoint else ""
    return Text(f"step {saved:,}, {duration(age)} ago{size}")


def _attempt(attempt: Mapping[str, Any]) -> Text:
    outcome, reason = attempt["outcome"] or "running", attempt["reason"] or ""
    steps = f"steps {attempt['first_step'] or 0:,} to {attempt['last_step'] or 0:,}"
    lost = f", {attempt['steps_lost']} lost" if attempt["steps_lost"] else ""
    color = {"running": "cyan", "completed": "green", "failed": "red"}.get(outcome, "yellow")
    shown = f": {reason}" if reason and outcome not in ("completed", "running") else ""
    return Text.assemble((outcome, color), f", {steps}{lost}{shown}")


def _warning(view: View) -> Text | None:
    status = view.status
    found: Sequence[str | None] = (
        view.fault or None,
        view.progress.get("save_error") and f"cannot save: {view.progress['save_error']}",
        next((f"damaged checkpoint of step {s['step']}" for s in status["skipped"]), None),
        next(iter(status["workers_differ"]), None),
        next((f"{c['what']} changed: {c['old']} -> {c['new']}" for c in status["changes"]), None),
    )
    text = next((one for one in found if one), None)
    return Text(text, style="bold red" if found[0] or found[1] else "yellow") if text else None

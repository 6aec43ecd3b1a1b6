"""Plots of a run and of policies as PNG bytes.

They are separate from `pictures.py`, because importing Matplotlib takes time.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ardm.training.policy_costs import Kind, Measured

INK, ACCENT, FAINT = "#1b1f24", "#0b6bcb", "#c9d1d9"
Style = dict[str, Any]

_SPLITS = {"valid": (ACCENT, "o"), "test": ("#b3401f", "D")}
"""Color and marker of each split."""

_GRAY = "#8b949e"


def loss_curve(
    train: Mapping[int, float],
    evaluated: Mapping[str, Mapping[int, tuple[float, float]]],
    title: str,
    unit: str = "bits/dim",
) -> bytes:
    """Plot the NELBO against the training step.

    Args:
        train: for each step the bits/dim of the parameters on the training batch.
        evaluated: for each split and step the bits/dim of the EMA, and their standard error.
        title: title above the axes.
        unit: unit of the NELBO.

    Returns:
        A PNG.
    """
    figure, axes = _axes(title, "training step", f"NELBO ({unit})")
    if train:
        values = np.array(list(train.values()))
        axes.plot(list(train), values, color=FAINT, lw=0.8, label="train, batch means")
        axes.plot(list(train), _smooth(values), color=INK, lw=1.4, label="train, smoothed")
    shown = {split: points for split, points in evaluated.items() if points}
    for split, points in shown.items():
        _points(axes, split, points)
    _zoom(axes, list(train.values()), [bpd for each in shown.values() for bpd, _ in each.values()])
    if train or shown:
        axes.legend(frameon=False)
    return render(figure)


def _points(axes: Axes, split: str, points: Mapping[int, tuple[float, float]]) -> None:
    """Draw the evaluations on a split; the legend shows the last value."""
    color, marker = _SPLITS[split]
    means, errors = np.array(list(points.values())).T
    style: Style = {"color": color, "marker": marker, "ms": 4, "lw": 1.4, "capsize": 2}
    label = f"{split}, EMA (±2 s.e.), at last {means[-1]:.4f}"
    axes.errorbar(list(points), means, yerr=2 * errors, label=label, **style)


def loss_per_t(
    nats: Float[np.ndarray, " steps"],
    step: int,
    title: str,
    values: int,
    stages: int = 1,
    unit: str = "bits/dim",
) -> bytes:
    """Plot L[t], as the KL tracker estimates it, against the generation step t.

    Args:
        nats: expected negative log-likelihood of one dimension at each t, in nats.
        step: training step.
        title: title above the axes.
        values: number of values in one image, by which the sum is divided to give bits/dim.
        stages: number of stages of Upscale ARDM; each stage has a curve of its own.
        unit: unit of the sum, as a word.

    Returns:
        A PNG.
    """
    figure, axes = _axes(title, "generation step t (dimensions visible)", "L[t] (nats)")
    axes.plot(nats, color=FAINT, lw=0.8, label="tracked")
    curves = np.split(nats, stages)
    for stage, curve in enumerate(curves):
        steps = stage * len(curve) + np.arange(len(curve))
        label = "smoothed" if stage == 0 else None
        axes.plot(steps, _smooth(curve), color=ACCENT, lw=1.6, label=label)
        if stage:
            axes.axvline(stage * len(curve) - 0.5, color=INK, lw=0.6, ls=":")
    axes.set_xlim(0, max(len(nats) - 1, 1))
    axes.set_ylim(bottom=0)
    bpd = float(nats.sum() / (values * np.log(2.0)))
    axes.set_title(f"{title}: step {step}, {bpd:.4f} {unit}", loc="left", color=INK)
    axes.legend(frameon=False)
    return render(figure)


def dress(axes: Axes, title: str, x: str, y: str) -> None:
    """Set the title, the labels and the style that all plots share."""
    axes.set_title(title, loc="left", color=INK)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=FAINT, lw=0.5)


def render(figure: Figure) -> bytes:
    """Render a figure as a PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _smooth(values: np.ndarray) -> np.ndarray:
    """Moving average over a centered window; NaN from the first value on that is not finite."""
    half = max(1, len(values) // 40)
    total = np.concatenate([[0.0], np.cumsum(np.where(np.isfinite(values), values, np.nan))])
    i = np.arange(len(values))
    low, high = np.maximum(i - half, 0), np.minimum(i + half + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _zoom(axes: Axes, train: list[float], test: list[float]) -> None:
    """Choose limits of the y axis that show the later values; the steep start is cut off."""
    late = np.array(train[len(train) // 20 :] + test)
    if len(train) > 20 and np.isfinite(late).all():
        low, high = min(late), max(np.quantile(late, 0.95), max(test, default=0.0))
        room = max(high - low, 1e-6)
        axes.set_ylim(low - 0.1 * room, high + 0.25 * room)


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.5, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    dress(axes, title, x, y)
    return figure, axes


def _look(color: str, marker: str, shift: float, order: int) -> dict[str, Any]:
    bars = {"marker": marker, "ms": 5, "lw": 1.6, "capsize": 2, "elinewidth": 1.0}
    return {
        "shift": shift,
        "bars": {"color": color, "zorder": order} | bars,
        "line": {"color": color, "zorder": order, "lw": 1.0, "ls": "--"},
    }


_LOOKS: dict[Kind, dict[str, Any]] = {
    "optimal": _look(ACCENT, "o", 0.99, 4),
    "uniform": _look(_GRAY, "s", 1.01, 3),
}


def policy_curve(
    measured: Sequence[Measured],
    title: str,
    split: str = "valid",
    stages: int = 1,
    unit: str = "bits/dim",
) -> bytes:
    """Plot the NELBO against the number of network calls, and below it the optimal policies.

    Args:
        measured: the policies, as `ardm.training.policy_costs.measure` returns them.
        title: title above the axes.
        split: name of the split that they were measured on.
        stages: number of stages of Upscale ARDM; dotted lines separate them.
        unit: unit of the NELBO.

    Returns:
        A PNG.
    """
    figure = Figure(figsize=(7.5, 6.4), dpi=120, layout="constrained")
    optimal = [item for item in measured if item.kind == "optimal"]
    room = 0.28 * max(len(optimal), 1) + 0.3
    upper, lower = figure.subplots(2, 1, height_ratios=[6.4 - 1.4 - room, room])
    _costs(upper, measured, title, f"{split} NELBO ({unit})")
    _starts(lower, optimal, len(measured[-1].starts), stages)
    return render(figure)


def _costs(axes: Axes, measured: Sequence[Measured], title: str, quantity: str) -> None:
    dress(axes, title, "network calls per example", quantity)
    sequential = measured[-1]
    level, error = sequential.found.nelbo_bpd, 2 * sequential.found.se_bpd
    axes.axhspan(level - error, level + error, color=INK, alpha=0.07, lw=0)
    axes.axhline(level, color=INK, lw=1.0, ls=(0, (1, 2)))
    axes.annotate(
        f"one dimension per call ({sequential.budget}): {level:.4f} ± {error / 2:.4f}",
        (0.01, level - error),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        xytext=(0, -3),
        va="top",
        color=INK,
    )
    shown: list[Any] = []
    for kind, look in _LOOKS.items():
        chosen = [item for item in measured if item.kind == kind]
        if chosen:
            # Shifted sideways, so that one error bar does not hide the other.
            calls = [item.budget * look["shift"] for item in chosen]
            values = [item.found.nelbo_bpd for item in chosen]
            # Errors of the difference from one dimension per call, since readers compare with it.
            errors = [2 * item.extra.se_bpd for item in chosen]
            bars = axes.errorbar(
                calls, values, errors, label=f"{kind} (±2 s.e. of the extra cost)", **look["bars"]
            )
            expected = [item.expected_bpd for item in chosen]
            line = axes.plot(calls, expected, label=f"{kind}, expected", **look["line"])
            shown += [bars, *line]
    # Space for the text below the lowest line.
    axes.margins(y=0.12)
    axes.set_xscale("log")
    budgets = sorted({item.budget for item in measured if item.kind == "optimal"})
    axes.xaxis.set_major_locator(FixedLocator(budgets or [sequential.budget]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:.0f}")
    if shown:
        axes.legend(handles=shown, frameon=False)


def _starts(axes: Axes, optimal: Sequence[Measured], steps: int, stages: int) -> None:
    heading = "where the optimal policies call the network"
    dress(axes, heading, "generation step t", "calls")
    axes.grid(visible=False)
    rows = np.arange(len(optimal))[::-1]
    for row, item in zip(rows, optimal, strict=True):
        axes.hlines(row, 0, steps, color=FAINT, lw=0.8, zorder=1)
        axes.vlines(item.starts, row - 0.32, row + 0.32, color=ACCENT, lw=0.9)
    for stage in range(1, stages):
        axes.axvline(stage * steps / stages - 0.5, color=INK, lw=0.6, ls=":")
    axes.set_yticks(rows, [str(item.budget) for item in optimal])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-0.005 * steps, steps)
    axes.set_ylim(-0.7, max(len(optimal), 1) - 0.3)

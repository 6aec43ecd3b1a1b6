"""Plots of a run as PNG bytes. Apart from `pictures.py`, for Matplotlib takes a while to start."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, ACCENT, FAINT = "#1b1f24", "#0b6bcb", "#c9d1d9"
Style = dict[str, Any]

_SPLITS = {"valid": (ACCENT, "o"), "test": ("#b3401f", "D")}
"""Color and marker of a split."""


def loss_curve(
    train: Mapping[int, float],
    evaluated: Mapping[str, Mapping[int, tuple[float, float]]],
    title: str,
) -> bytes:
    """NELBO against the training step.

    Args:
        train: by step, bits/dim of the parameters on training batches.
        evaluated: by split and step, bits/dim of the EMA and their standard error.
        title: above the axes.

    Returns:
        A PNG.
    """
    figure, axes = _axes(title, "training step", "NELBO (bits/dim)")
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
    """Draw the evaluations on a split; the legend has the last value."""
    color, marker = _SPLITS[split]
    means, errors = np.array(list(points.values())).T
    style: Style = {"color": color, "marker": marker, "ms": 4, "lw": 1.4, "capsize": 2}
    label = f"{split}, EMA (±2 s.e.), at last {means[-1]:.4f}"
    axes.errorbar(list(points), means, yerr=2 * errors, label=label, **style)


def loss_per_t(
    nats: Float[np.ndarray, " steps"], step: int, title: str, values: int, stages: int = 1
) -> bytes:
    """L[t] against the generation step t, from the KL tracker.

    Args:
        nats: expected negative log-likelihood of one dimension at each t.
        step: training step.
        title: above the axes.
        values: the numbers in one image, over which the sum is divided to give bits/dim.
        stages: of Upscale ARDM; each has its part of the steps and a curve of its own.

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
    axes.set_title(f"{title}: step {step}, {bpd:.4f} bits/dim", loc="left", color=INK)
    axes.legend(frameon=False)
    return render(figure)


def dress(axes: Axes, title: str, x: str, y: str) -> None:
    """Give axes the looks that all plots share."""
    axes.set_title(title, loc="left", color=INK)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=FAINT, lw=0.5)


def render(figure: Figure) -> bytes:
    """The figure as a PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window, narrower at the ends; none from the first infinity on."""
    half = max(1, len(values) // 40)
    total = np.concatenate([[0.0], np.cumsum(np.where(np.isfinite(values), values, np.nan))])
    i = np.arange(len(values))
    low, high = np.maximum(i - half, 0), np.minimum(i + half + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _zoom(axes: Axes, train: list[float], test: list[float]) -> None:
    """Leave the first steep fall above the picture: what happens later is what is looked at."""
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

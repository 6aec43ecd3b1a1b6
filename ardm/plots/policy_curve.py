"""The picture of a set of measured policies: what they cost, and where their calls are spent."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ardm.plots.curves import ACCENT, FAINT, INK, dress, render
from ardm.training.policy_costs import Kind, Measured

_GREY = "#8b949e"


def _look(color: str, marker: str, aside: float, order: int) -> dict[str, Any]:
    bars = {"marker": marker, "ms": 5, "lw": 1.6, "capsize": 2, "elinewidth": 1.0}
    return {
        "aside": aside,
        "bars": {"color": color, "zorder": order} | bars,
        "line": {"color": color, "zorder": order, "lw": 1.0, "ls": "--"},
    }


_LOOKS: dict[Kind, dict[str, Any]] = {
    "optimal": _look(ACCENT, "o", 0.99, 4),
    "uniform": _look(_GREY, "s", 1.01, 3),
}


def policy_curve(
    measured: Sequence[Measured], title: str, split: str = "valid", stages: int = 1
) -> bytes:
    """NELBO against the number of network calls, above the start times of the optimal policies.

    Args:
        measured: as `ardm.training.policy_costs.measure` gives them.
        title: above the axes.
        split: whose images they were measured on.
        stages: of Upscale ARDM; each has its part of the steps.

    Returns:
        A PNG.
    """
    figure = Figure(figsize=(7.5, 6.4), dpi=120, layout="constrained")
    optimal = [item for item in measured if item.kind == "optimal"]
    room = 0.28 * max(len(optimal), 1) + 0.3
    upper, lower = figure.subplots(2, 1, height_ratios=[6.4 - 1.4 - room, room])
    _costs(upper, measured, title, split)
    _starts(lower, optimal, len(measured[-1].starts), stages)
    return render(figure)


def _costs(axes: Axes, measured: Sequence[Measured], title: str, split: str) -> None:
    dress(axes, title, "network calls per image", f"{split} NELBO (bits/dim)")
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
            # Side by side, so that one error bar does not hide the other.
            calls = [item.budget * look["aside"] for item in chosen]
            values = [item.found.nelbo_bpd for item in chosen]
            # Of the difference to one dimension per call, which is what the eye compares.
            errors = [2 * item.extra.se_bpd for item in chosen]
            bars = axes.errorbar(
                calls, values, errors, label=f"{kind} (±2 s.e. of the extra cost)", **look["bars"]
            )
            expected = [item.expected_bpd for item in chosen]
            line = axes.plot(calls, expected, label=f"{kind}, expected", **look["line"])
            shown += [bars, *line]
    # Room below for the words on the lowest line.
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

"""Pictures of recordings: the wave and the spectrogram of each."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int16
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import signal

from ardm.plots.curves import ACCENT, INK, render

_HEIGHT, _WIDTH = 1.5, 4.0
"""Size of a panel in inches."""
_WINDOW_S = 0.02
"""Length of a window of the spectrogram (seconds)."""
_SHORTEST = 16
"""Least length of a window (samples)."""
_FLOOR_DB, _CEILING_DB = -90.0, -20.0
"""Levels at which the colors of the spectrogram begin and end; a sine of full scale has -3 dB."""


def sheet(samples: Int16[np.ndarray, "n l"], rate: int, names: Sequence[str] = ()) -> bytes:
    """Draw a row for each recording: its wave on the left, its spectrogram on the right.

    Args:
        samples: 16-bit samples.
        rate: samples per second.
        names: titles of the rows; default: their numbers.

    Returns:
        A PNG.
    """
    names = names or [str(number) for number in range(1, len(samples) + 1)]
    size = (2 * _WIDTH, _HEIGHT * len(samples) + 0.4)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    rows = figure.subplots(len(samples), 2, squeeze=False, sharex=True)
    for (wave, spectrogram), recording, name in zip(rows, samples, names, strict=True):
        _wave(wave, recording, rate, name)
        _spectrogram(spectrogram, recording, rate)
    for axes in rows[-1]:
        axes.set_xlabel("seconds")
    return render(figure)


def _wave(axes: Axes, samples: Int16[np.ndarray, " l"], rate: int, name: str) -> None:
    axes.plot(np.arange(len(samples)) / rate, samples / 32_768, color=ACCENT, lw=0.5)
    axes.set_ylim(-1, 1)
    axes.set_ylabel(name, color=INK, rotation=0, ha="right", va="center")
    axes.spines[["top", "right"]].set_visible(False)


def _spectrogram(axes: Axes, samples: Int16[np.ndarray, " l"], rate: int) -> None:
    size = max(_SHORTEST, min(len(samples) // 4, round(_WINDOW_S * rate)))
    padded = np.pad(samples / 32_768, (0, max(2 * size - len(samples), 0)))
    frequencies, _, power = signal.spectrogram(
        padded, rate, nperseg=size, noverlap=size * 3 // 4, detrend=False, scaling="spectrum"
    )
    axes.imshow(
        10.0 * np.log10(power + 10.0 ** (_FLOOR_DB / 10.0)),
        extent=(0.0, len(samples) / rate, 0.0, frequencies[-1]),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=_FLOOR_DB,
        vmax=_CEILING_DB,
    )
    axes.yaxis.set_major_formatter(lambda hertz, _: f"{hertz / 1000:g}")
    axes.set_ylabel("kHz", color=INK)

"""Pictures of a run as PNG and GIF bytes: sample grids, chains, curves."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

INK, ACCENT, FAINT = "#1b1f24", "#0b6bcb", "#c9d1d9"
Style = dict[str, Any]

_HIDDEN_GREY = 96
_TARGET_SIDE = 640
"""Pixels that the longer side of a grid should have, at least."""


def grid(images: Integer[np.ndarray, "n h w c"], classes: int) -> bytes:
    """Images side by side, in a grid as square as can be, enlarged without smoothing.

    Args:
        images: values 0 .. K-1; -1 (not generated yet) is drawn grey.
        classes: K.

    Returns:
        A PNG.
    """
    return encode(_tile(images, classes), "PNG")


def chain(frames: Integer[np.ndarray, "f n h w c"], classes: int, seconds: float = 4.0) -> bytes:
    """The way of a generation, as an animated GIF that rests on its last frame.

    Args:
        frames: images after each network call; -1 is drawn grey.
        classes: K.
        seconds: duration without the rest; at most 50 frames are shown of a longer chain.

    Returns:
        A GIF.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), 50)).astype(int))
    pictures = [Image.fromarray(_tile(frames[i], classes)) for i in chosen]
    pause = int(1000 * seconds / len(pictures))
    out = io.BytesIO()
    pictures[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[pause] * (len(pictures) - 1) + [2000],
        loop=0,
    )
    return out.getvalue()


def loss_curve(
    train: Mapping[int, float], test: Mapping[int, tuple[float, float]], title: str
) -> bytes:
    """NELBO against the training step.

    Args:
        train: by step, bits/dim of the parameters on training batches.
        test: by step, bits/dim of the EMA on test images and its standard error.
        title: above the axes.

    Returns:
        A PNG.
    """
    figure, axes = _axes(title, "training step", "NELBO (bits/dim)")
    if train:
        values = np.array(list(train.values()))
        axes.plot(list(train), values, color=FAINT, lw=0.8, label="train, batch means")
        axes.plot(list(train), _smooth(values), color=INK, lw=1.4, label="train, smoothed")
    if test:
        means, errors = np.array(list(test.values())).T
        style: Style = {"color": ACCENT, "marker": "o", "ms": 4, "lw": 1.4, "capsize": 2}
        axes.errorbar(list(test), means, yerr=2 * errors, label="test, EMA (±2 s.e.)", **style)
        last = (list(test)[-1], means[-1])
        offset: Style = {"textcoords": "offset points", "xytext": (-4, 10), "ha": "right"}
        axes.annotate(f"{means[-1]:.4f}", last, color=ACCENT, **offset)
    _zoom(axes, list(train.values()), [mean for mean, _ in test.values()])
    if train or test:
        axes.legend(frameon=False)
    return render(figure)


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


def _tile(images: Integer[np.ndarray, "n h w c"], classes: int) -> np.ndarray:
    n, h, w, c = images.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows = int(np.ceil(n / columns))
    shade = images.astype(np.int32) * 255 // (classes - 1)
    grey = np.where(images < 0, _HIDDEN_GREY, shade).astype(np.uint8)
    gap = max(1, h // 14)
    sheet = np.full(
        (rows * (h + gap) + gap, columns * (w + gap) + gap, c), _HIDDEN_GREY // 2, np.uint8
    )
    for i, image in enumerate(grey):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image
    zoom = max(1, int(np.ceil(_TARGET_SIDE / max(sheet.shape[:2]))))
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return sheet[..., 0] if c == 1 else sheet


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


def encode(pixels: np.ndarray, kind: str) -> bytes:
    """Pixels as the bytes of a file, `PNG` or another kind that Pillow writes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()

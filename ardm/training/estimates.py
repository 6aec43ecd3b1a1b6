"""Means of per-image estimates, with standard errors that see what the draw has averaged out."""

import io
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ardm.model.objective import Objective

_DEGREE = 5
"""Of the polynomial in t by which the estimates of a stage are explained."""

_POINTS = 8
"""Estimates for each coefficient of such a polynomial, at least."""


class PerImage(NamedTuple):
    """Estimates of a bound, or of the difference of two, one for each image and pass.

    Attributes:
        nelbo: in nats.
        t: the generation step that each comes from.
    """

    nelbo: Float[np.ndarray, "passes n"]
    t: Int[np.ndarray, "passes n"]


class Estimate(NamedTuple):
    """A mean over a set of images, per image in nats and in bits per dimension."""

    nelbo_bpd: float
    nelbo_nats: float
    se_bpd: float
    """Standard error of the mean: how far it lies from that of all images of this kind."""
    se_nats: float
    images: int
    passes: int


def estimate(found: PerImage, objective: Objective) -> Estimate:
    """The mean of estimates, and its standard error.

    The steps t are a comb, which averages whatever depends smoothly on t almost exactly. So the
    error is that of the residuals: what is left of the estimates after a polynomial in t is taken
    away, which is a control variate.

    Args:
        found: the estimates.
        objective: of the model that they are of.
    """
    passes, images = found.nelbo.shape
    rest, terms = _residuals(found, objective)
    return _summary(found.nelbo, rest, images - 1 - (terms - 1) / passes, objective.values)


def difference(one: PerImage, other: PerImage, objectives: tuple[Objective, Objective]) -> Estimate:
    """The mean of `one - other` on the same images, and its standard error, image by image.

    Models whose generation steps differ are paired by the images alone.

    Args:
        one: estimates, in the order of the images.
        other: of the same images in as many passes.
        objectives: of the two models.
    """
    passes, images = one.nelbo.shape
    (rest, terms), (rest_2, terms_2) = (
        _residuals(found, objective)
        for found, objective in zip((one, other), objectives, strict=True)
    )
    freedom = images - 1 - (max(terms, terms_2) - 1) / passes
    nelbo = one.nelbo.astype(np.float64) - other.nelbo
    return _summary(nelbo, rest - rest_2, freedom, objectives[0].values)


def _summary(
    nelbo: Float[np.ndarray, "passes n"],
    rest: Float[np.ndarray, "passes n"],
    freedom: float,
    values: int,
) -> Estimate:
    passes, images = nelbo.shape
    nats = float(nelbo.astype(np.float64).mean())
    squares = float((rest.mean(axis=0) ** 2).sum())
    se = float(np.sqrt(squares / freedom / images)) if freedom > 0 else 0.0
    bits = values * np.log(2.0)
    return Estimate(nats / bits, nats, se / bits, se, images, passes)


def as_npz(found: PerImage, index: Int[np.ndarray, " n"]) -> bytes:
    """Estimates as the content of a NumPy archive.

    Args:
        found: the estimates.
        index: of the images in their split.

    Returns:
        An archive of `nelbo` (float32, `[passes, n]`, in nats), `t` (int32, `[passes, n]`, the
        generation step of each estimate) and `index` (int32, `[n]`).
    """
    out = io.BytesIO()
    arrays = {"nelbo": found.nelbo, "t": found.t, "index": index.astype(np.int32)}
    np.savez_compressed(out, allow_pickle=False, **arrays)
    return out.getvalue()


def _residuals(found: PerImage, objective: Objective) -> tuple[Float[np.ndarray, "passes n"], int]:
    """What a polynomial in t of each stage leaves, and the number of its coefficients."""
    nelbo, t, stages = found.nelbo.astype(np.float64), found.t, objective.stages
    terms = min(nelbo.size // (_POINTS * stages), _DEGREE + 1)
    if terms == 0:
        return nelbo - nelbo.mean(), 1
    stage, within = np.divmod(t.reshape(-1), objective.D)
    powers = np.polynomial.legendre.legvander(2 * (within + 0.5) / objective.D - 1, terms - 1)
    of_stage = stage[:, None] == np.arange(stages)
    design = (of_stage[:, :, None] * powers[:, None, :]).reshape(nelbo.size, -1)
    fit, *_ = np.linalg.lstsq(design, nelbo.reshape(-1), rcond=None)
    return nelbo - (design @ fit).reshape(nelbo.shape), design.shape[1]

"""Means of estimates per image, with standard errors that account for evenly spaced t."""

import io
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ardm.model.objective import Objective

_DEGREE = 5
"""Degree of the polynomial in t that is fitted to the estimates of a stage."""

_POINTS = 8
"""Smallest number of estimates per coefficient of such a polynomial."""


class PerImage(NamedTuple):
    """Estimates of a bound, or of the difference of two, one for each image and pass.

    Attributes:
        nelbo: estimates of the bound, in nats.
        t: generation step of each estimate.
    """

    nelbo: Float[np.ndarray, "passes n"]
    t: Int[np.ndarray, "passes n"]


class Estimate(NamedTuple):
    """A mean over a set of images, per image in nats and in bits per dimension."""

    nelbo_bpd: float
    nelbo_nats: float
    se_bpd: float
    """Standard error of the mean, as an estimate of the mean over all images of this kind."""
    se_nats: float
    images: int
    passes: int


def estimate(estimates: PerImage, objective: Objective) -> Estimate:
    """The mean of estimates, and its standard error.

    The steps t are evenly spaced, so the mean over t of any smooth function is almost exact. The
    standard error is therefore computed from residuals: a polynomial in t, fitted to the estimates,
    is subtracted from them as a control variate.

    Args:
        estimates: the estimates.
        objective: objective of the model.
    """
    passes, images = estimates.nelbo.shape
    residuals, terms = _residuals(estimates, objective)
    return _summary(estimates.nelbo, residuals, images - 1 - (terms - 1) / passes, objective.values)


def difference(a: PerImage, b: PerImage, objectives: tuple[Objective, Objective]) -> Estimate:
    """The mean of `a - b` on the same images, and the standard error of the paired differences.

    Two models may have different generation steps; then only the images are paired.

    Args:
        a: estimates, in the order of the images.
        b: estimates for the same images, in the same order and in as many passes.
        objectives: objectives of the two models.
    """
    passes, images = a.nelbo.shape
    (residuals_a, terms_a), (residuals_b, terms_b) = (
        _residuals(estimates, objective)
        for estimates, objective in zip((a, b), objectives, strict=True)
    )
    freedom = images - 1 - (max(terms_a, terms_b) - 1) / passes
    nelbo = a.nelbo.astype(np.float64) - b.nelbo
    return _summary(nelbo, residuals_a - residuals_b, freedom, objectives[0].values)


def _summary(
    nelbo: Float[np.ndarray, "passes n"],
    residuals: Float[np.ndarray, "passes n"],
    freedom: float,
    values: int,
) -> Estimate:
    passes, images = nelbo.shape
    nats = float(nelbo.astype(np.float64).mean())
    squares = float((residuals.mean(axis=0) ** 2).sum())
    se = float(np.sqrt(squares / freedom / images)) if freedom > 0 else 0.0
    bits = values * np.log(2.0)
    return Estimate(nats / bits, nats, se / bits, se, images, passes)


def as_npz(estimates: PerImage, index: Int[np.ndarray, " n"]) -> bytes:
    """Write estimates as a NumPy archive.

    Args:
        estimates: the estimates.
        index: index of each image in its split.

    Returns:
        Bytes of an archive with `nelbo` (float32, `[passes, n]`, in nats), `t` (int32,
        `[passes, n]`, the generation step of each estimate) and `index` (int32, `[n]`).
    """
    out = io.BytesIO()
    arrays = {"nelbo": estimates.nelbo, "t": estimates.t, "index": index.astype(np.int32)}
    np.savez_compressed(out, allow_pickle=False, **arrays)
    return out.getvalue()


def _residuals(
    estimates: PerImage, objective: Objective
) -> tuple[Float[np.ndarray, "passes n"], int]:
    """Residuals of a polynomial fit in t per stage, and the total number of coefficients."""
    nelbo, t, stages = estimates.nelbo.astype(np.float64), estimates.t, objective.stages
    terms = min(nelbo.size // (_POINTS * stages), _DEGREE + 1)
    if terms == 0:
        return nelbo - nelbo.mean(), 1
    stage, within = np.divmod(t.reshape(-1), objective.D)
    powers = np.polynomial.legendre.legvander(2 * (within + 0.5) / objective.D - 1, terms - 1)
    of_stage = stage[:, None] == np.arange(stages)
    design = (of_stage[:, :, None] * powers[:, None, :]).reshape(nelbo.size, -1)
    fit, *_ = np.linalg.lstsq(design, nelbo.reshape(-1), rcond=None)
    return nelbo - (design @ fit).reshape(nelbo.shape), design.shape[1]

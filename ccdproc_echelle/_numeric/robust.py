# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Least squares with weights and with outliers."""

import numpy as np

from ccdproc_echelle._numeric.spread import scatter_about_zero

__all__ = ["clipped_fit", "soft_fit", "weighted_fit"]

# Number of fits in `soft_fit`, each with weights from the previous one.
_ITERATIONS = 10


def weighted_fit(basis: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients of a least-squares fit; values with zero weight may be anything."""
    usable = weights > 0
    root = np.sqrt(weights[usable])
    return np.linalg.lstsq(basis[usable] * root[:, None], values[usable] * root, rcond=None)[0]


def clipped_fit(
    basis: np.ndarray,
    values: np.ndarray,
    *,
    sigma: float,
    maxiters: int,
    least_scatter: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a fit that ignores outliers and NaN, and which values were used."""
    used = np.isfinite(values)
    coefficients = weighted_fit(basis, values, used.astype(float))
    for _ in range(maxiters):
        residuals = np.abs(values - basis @ coefficients)
        kept = residuals <= sigma * max(scatter_about_zero(residuals[used]), least_scatter)
        if (kept == used).all():
            break
        used = kept
        coefficients = weighted_fit(basis, values, used.astype(float))
    return coefficients, used


def soft_fit(
    basis: np.ndarray,
    values: np.ndarray,
    *,
    least_scatter: float,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Coefficients of a fit in which the weight of a value decreases with its residual."""
    own = np.ones(len(values)) if weights is None else weights
    off, scatter = np.zeros(len(values)), 1.0
    for _ in range(_ITERATIONS):
        weights = own / (1 + (off / (2 * scatter)) ** 2) ** 2
        coefficients = weighted_fit(basis, values, weights)
        off = values - basis @ coefficients
        scatter = max(scatter_about_zero(off), least_scatter)
    return coefficients

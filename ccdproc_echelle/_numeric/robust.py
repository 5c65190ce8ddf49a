# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Least squares with weights and with outliers."""

import numpy as np

from ccdproc_echelle._numeric.roots import slab_product, triangle
from ccdproc_echelle._numeric.spread import scatter_about_zero

__all__ = ["clipped_fit", "soft_fit", "weighted_fit"]

# Number of fits in `soft_fit`, each with weights from the previous one.
_ITERATIONS = 10

# A value of which less than this fraction of its noise is left determines the fit by itself, and
# cannot be judged.
_LEAST_LEFT = 1e-6


def weighted_fit(basis: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients of a least-squares fit; values with zero weight may be anything."""
    usable = weights > 0
    rows = np.column_stack([basis[usable], values[usable]]) * np.sqrt(weights[usable])[:, None]
    reduced = triangle(rows)
    return np.linalg.lstsq(reduced[:, :-1], reduced[:, -1], rcond=None)[0]


def clipped_fit(
    basis: np.ndarray,
    values: np.ndarray,
    *,
    sigma: float,
    maxiters: int,
    least_scatter: float,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Coefficients of a fit that ignores outliers and NaN, and which values were used.

    At the end of a short range a value pulls the fit towards itself, however far off it is. What
    counts is its residual in units of the noise left in it (studentised), and the scatter without
    it. Cook & Weisberg 1982, Residuals and Influence in Regression, chapter 2.
    """
    used = np.isfinite(values)
    coefficients = weighted_fit(basis, values, used.astype(float))
    for _ in range(maxiters):
        residuals = np.where(np.isfinite(values), values - basis @ coefficients, np.inf)
        variance = _variance_of_residuals(basis, used)
        squares = residuals**2 / variance
        n_free = max(used.sum() - basis.shape[1] - 1, 1)
        others = np.sum(residuals[used] ** 2) - np.where(used, squares, 0)
        scatter = np.minimum(
            scatter_about_zero(np.sqrt(squares[used])), np.sqrt(np.maximum(others, 0) / n_free)
        )
        kept = squares <= (sigma * np.maximum(scatter, least_scatter)) ** 2
        if (kept == used).all():
            break
        used = kept
        coefficients = weighted_fit(basis, values, used.astype(float))
    return coefficients, used


def _variance_of_residuals(basis: np.ndarray, used: np.ndarray) -> np.ndarray:
    """In units of that of the noise: less for values that the fit has used, more for others."""
    root = triangle(basis[used])
    inverse = np.linalg.pinv(root.T @ root, hermitian=True)
    leverage = np.einsum("nj,nj->n", slab_product(basis, inverse), basis)
    left = 1 - leverage[used]
    variance = 1 + leverage
    variance[used] = np.where(left > _LEAST_LEFT, left, 1)
    return variance


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

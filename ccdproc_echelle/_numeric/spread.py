# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Median absolute deviation, scaled to a standard deviation."""

import numpy as np

__all__ = [
    "MAD_NOISE",
    "MAD_TO_SIGMA",
    "mad_factors",
    "mad_of_sorted",
    "scatter_about_zero",
    "shared_scatter",
]

# For a Gaussian: 1 / norm.ppf(0.75), with the digits of astropy.stats.mad_std.
MAD_TO_SIGMA = 1.482602218505602

# Relative noise of the median absolute deviation of many values, times the root of their number.
MAD_NOISE = 1.17


def mad_of_sorted(rows: list[np.ndarray] | np.ndarray, middle: np.ndarray) -> np.ndarray:
    """
    Median absolute deviation of sorted columns from their median.

    The deviations below and above the median are two sorted sequences. Their k-th smallest value
    requires no further sorting: it is the smallest of the values with k - 1 others below.
    """
    n = len(rows)
    if n == 1:
        return rows[0] - middle
    below = [middle - row for row in reversed(rows[: n // 2])]
    above = [row - middle for row in rows[(n + 1) // 2 :]]
    lower = _smallest_of_two(below, above, n // 2)
    return lower if n % 2 else (lower + _smallest_of_two(below, above, n // 2 + 1)) / 2


def _smallest_of_two(first: list[np.ndarray], second: list[np.ndarray], k: int) -> np.ndarray:
    """The k-th smallest value of two sorted sequences of rows, k from 1."""
    least = None
    for i in range(max(0, k - len(second)), min(k, len(first)) + 1):
        heads = [part[j - 1] for part, j in ((first, i), (second, k - i)) if j > 0]
        greater = heads[0] if len(heads) == 1 else np.maximum(*heads)
        least = greater if least is None else np.minimum(least, greater)
    return least


def mad_factors(n_max: int) -> np.ndarray:
    """
    Factors that convert a median absolute deviation to a standard deviation, by sample size.

    Up to ten values: measured on 10 million Gaussian samples of each size. Beyond: the asymptotic
    series of Hayes (2014, Comm. Stat. 43, 4429) as refitted by Park, Kim & Wang (2022, Comm. Stat.
    51, 2619).
    """
    n = np.arange(n_max + 1)
    with np.errstate(divide="ignore"):
        bias = 1 - 0.76213 / n - 0.86413 / n**2
    bias[: len(_MAD_BIAS)] = _MAD_BIAS[: n_max + 1]
    return MAD_TO_SIGMA / bias


# Mean of mad_std over Gaussian samples of 0, 1, 2, ... values with unit standard deviation.
_MAD_BIAS = np.array([
    1, 1, 0.83621, 0.67241, 0.73530, 0.82204, 0.84051, 0.87882, 0.88710, 0.90795, 0.91251
])


def scatter_about_zero(residuals: np.ndarray) -> float:
    """Standard deviation of residuals, from their median absolute value."""
    return MAD_TO_SIGMA * float(np.median(np.abs(residuals)))


def shared_scatter(residuals: np.ndarray) -> np.ndarray:
    """
    Scatter that neighbouring residuals along the last axis share; 0 for noise.

    Noise differs from point to point, whereas a misfit of the curve is alike in neighbouring ones.
    NaN is ignored.
    """
    products = residuals[..., :-1] * residuals[..., 1:]
    known = np.isfinite(products)
    mean = np.where(known, products, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return np.sqrt(np.maximum(mean, 0))

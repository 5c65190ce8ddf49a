# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Medians of values with gaps, and their uncertainty."""

from functools import lru_cache

import numpy as np
from scipy.special import log_ndtr

from ccdproc_echelle._numeric.sorting import median_of_rows

__all__ = [
    "MEDIAN_OVER_MEAN",
    "column_median",
    "finite_median",
    "label_medians",
    "median_noise",
    "median_variance_factors",
    "ranked_median",
]

# Noise of the median of many normal values, relative to that of their mean.
MEDIAN_OVER_MEAN = np.sqrt(np.pi / 2)


def column_median(values: np.ndarray, good: np.ndarray | None) -> np.ndarray:
    """
    Median of the good values of each column, NaN if there are none; ``good=None`` means all.

    Columns with the same number of good values are sorted together.
    """
    if good is None:
        return median_of_rows(values)
    result = np.full(values.shape[1], np.nan, dtype=values.dtype)
    count = good.sum(axis=0)
    for n in np.unique(count[count > 0]):
        columns = np.flatnonzero(count == n)
        frames = np.argsort(~good[:, columns], axis=0, kind="stable")[:n]
        result[columns] = median_of_rows(values[frames, columns])
    return result


def ranked_median(
    values: np.ndarray, good: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Median of the good values along the last axis, the sorted values, and their number.

    The median is NaN if there are no good values; other values come last, as NaN.
    """
    ranked = np.sort(np.where(good, values, np.nan), axis=-1)
    count = good.sum(axis=-1)
    if values.shape[-1] == 0:
        return np.full(count.shape, np.nan)[()], ranked, count
    low, high = (
        np.take_along_axis(ranked, index[..., None], axis=-1)[..., 0]
        for index in (np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[-1] - 1))
    )
    half, unknown = ranked.dtype.type(0.5), ranked.dtype.type(np.nan)  # numpy 1 promotes scalars
    return np.where(count > 0, half * (low + high), unknown)[()], ranked, count


def finite_median(values: np.ndarray) -> np.ndarray:
    """Median of the finite values along the last axis; NaN if there are none."""
    return ranked_median(values, np.isfinite(values))[0]


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value up to which half of the weight lies."""
    rank = np.argsort(values)
    total = np.cumsum(weights[rank])
    return values[rank][np.searchsorted(total, 0.5 * total[-1])]


def label_medians(values: np.ndarray, labels: np.ndarray, n_labels: int) -> np.ndarray:
    """Median of the finite values of each label, counted from 0; NaN if there are none."""
    known = np.isfinite(values)
    values, labels = values[known], labels[known].astype(np.min_scalar_type(n_labels))
    count = np.bincount(labels, minlength=n_labels)
    rank = np.argsort(labels, kind="stable")
    # One row for each label; a stable sort of short integers is a radix sort.
    labels = labels[rank]
    row = np.arange(len(labels)) - (np.cumsum(count) - count)[labels]
    table = np.full((n_labels, max(1, count.max(initial=0))), np.nan, dtype=values.dtype)
    table[labels, row] = values[rank]
    return finite_median(table).astype(float)


# For larger samples it is pi / 2 * n / (n + c), to 2e-4, with these c for odd and even sizes.
_LARGEST_EXACT = 24
_ASYMPTOTIC = (0.437, 1.4015)


@lru_cache
def median_variance_factors(n_max: int) -> np.ndarray:
    """
    Variance of the median of Gaussian values relative to that of their mean, by sample size.

    Parameters
    ----------
    n_max : int
        Largest sample size.

    Returns
    -------
    float array, shape (n_max + 1,)
        Factor for each sample size; NaN for size 0. Read-only, since the array is cached.

    Examples
    --------
    >>> from ccdproc_echelle._numeric.medians import median_variance_factors
    >>> median_variance_factors(5).round(3)
    array([  nan, 1.   , 1.   , 1.346, 1.193, 1.434])
    """
    n = np.arange(n_max + 1)
    factors = np.pi / 2 * n / (n + np.where(n % 2, *_ASYMPTOTIC))
    factors[0] = np.nan
    for exact in range(1, min(n_max, _LARGEST_EXACT) + 1):
        factors[exact] = exact * _median_variance(exact)
    factors.setflags(write=False)
    return factors


def median_noise(count: np.ndarray) -> np.ndarray:
    """Standard deviation of the median of ``count`` normal values, relative to that of one."""
    count = np.maximum(count, 1)
    return np.sqrt(median_variance_factors(int(count.max(initial=1)))[count] / count)


@lru_cache
def _median_variance(n: int) -> float:
    """Variance of the median of n standard normal values, from its distribution."""
    k = (n - 1) // 2  # values below the (lower) middle one
    x = np.linspace(-8, 8, 401) / np.sqrt(k + 1)  # eight or more standard deviations
    log_cdf, log_sf, log_pdf = log_ndtr(x), log_ndtr(-x), -0.5 * (x**2 + np.log(2 * np.pi))
    if n % 2:
        density = k * (log_cdf + log_sf) + log_pdf
        density = np.exp(density - density.max())
        return float((density * x**2).sum() / density.sum())
    density = (k * log_cdf + log_pdf)[:, None] + (k * log_sf + log_pdf)[None, :]
    density = np.exp(density - density.max())
    density[np.tril_indices(len(x), -1)] = 0
    density[np.diag_indices(len(x))] *= 0.5
    middle = 0.5 * (x[:, None] + x[None, :])
    return float((density * middle**2).sum() / density.sum())

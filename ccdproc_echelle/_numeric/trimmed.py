# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Normal values without the lowest and highest of them."""

from functools import lru_cache

import numpy as np
from scipy.special import bdtr, ndtr, ndtri

from ccdproc_echelle._numeric.gaussians import gaussian
from ccdproc_echelle._numeric.medians import median_variance_factors

__all__ = ["trimmed_mean_variance", "trimmed_median_variance", "trimmed_scatter"]

_GRID = np.linspace(-8, 8, 801)


def trimmed_mean_variance(n_kept: int, n_low: int, n_high: int) -> float:
    """
    Variance of the mean of what is left of standard normal values.

    From the influence function: that of the winsorised values; to 4 % for few values.

    Parameters
    ----------
    n_kept, n_low, n_high : int
        Number of values that are left, and numbers of the lowest and highest that are not.

    Returns
    -------
    float

    Examples
    --------
    >>> from ccdproc_echelle._numeric.trimmed import trimmed_mean_variance
    >>> round(trimmed_mean_variance(10, 0, 0), 4), round(trimmed_mean_variance(8, 1, 1), 4)
    (0.1, 0.106)
    """
    n = n_kept + n_low + n_high
    low, high = ends = ndtri([n_low / n, 1 - n_high / n])
    parts, density = np.array([n_low, n_high]) / n, gaussian(ends)
    ends = np.where(np.isfinite(ends), ends, 0)
    mean = density[0] - density[1] + parts @ ends
    square = ndtr(high) - ndtr(low) + ends[0] * density[0] - ends[1] * density[1]
    return float((square + parts @ ends**2 - mean**2) / (n_kept / n) ** 2 / n)


def trimmed_median_variance(n_kept: int, n_low: int, n_high: int) -> float:
    """
    Variance of the median of what is left of standard normal values; arguments as above.

    Examples
    --------
    >>> from ccdproc_echelle._numeric.trimmed import trimmed_median_variance
    >>> round(trimmed_median_variance(5, 0, 0), 4), round(trimmed_median_variance(3, 1, 1), 4)
    (0.2868, 0.2868)
    """
    n = n_kept + n_low + n_high
    part = (n_low + 0.5 * n_kept) / n
    off_middle = 4 * part * (1 - part) * (gaussian(0) / gaussian(ndtri(part))) ** 2
    # Whether one or two values are in the middle depends on how many are left.
    odd = (n_low + n_high) % 2
    factor = median_variance_factors(n + 1)[[n - odd, n + odd]].mean()
    return float(off_middle * factor / n)


@lru_cache(maxsize=1024)
def trimmed_scatter(n_kept: int, n_low: int, n_high: int) -> float:
    """
    Expected sample variance of what is left of standard normal values; NaN for a single one.

    Examples
    --------
    >>> from ccdproc_echelle._numeric.trimmed import trimmed_scatter
    >>> round(trimmed_scatter(10, 0, 0), 4), round(trimmed_scatter(8, 1, 1), 4)
    (1.0, 0.5325)
    """
    if n_kept < 2:
        return np.nan
    others, below = n_kept + n_low + n_high - 1, ndtr(_GRID)
    # A value is left if at least n_low of the others are lower, but not too many of them.
    left = bdtr(others - n_high, others, below) if n_high else np.ones_like(below)
    left = left - (bdtr(n_low - 1, others, below) if n_low else 0)
    density = gaussian(_GRID) * left
    density *= n_kept / density.sum()
    mean, square = density @ _GRID / n_kept, density @ _GRID**2
    of_mean = trimmed_mean_variance(n_kept, n_low, n_high) + mean**2
    return float((square - n_kept * of_mean) / (n_kept - 1))

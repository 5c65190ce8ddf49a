# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Noise of the pixels between the orders, from their scatter about a fit."""

import numpy as np

from ccdproc_echelle._numeric.spread import scatter_about_zero
from ccdproc_echelle.light.interorder import LEAST_PIXELS

__all__ = ["OUTLIER", "WING_ERROR", "first_variance", "noise_variance"]

# Least variance of a pixel, relative to the mean: dark pixels have read noise as well.
_LEAST_NOISE = 0.01

#: Relative error of the wings of the orders: the brightness of an order is known to a few per cent,
#: and the blur varies over the detector.
WING_ERROR = 0.1

#: Residuals larger than this, in units of the noise, are cosmic rays or hot pixels.
OUTLIER = 5.0


def first_variance(values) -> np.ndarray:
    """Variance of the darker half of the pixels, which the wings do not reach."""
    below = np.median(values) - values
    scatter = scatter_about_zero(below[below >= 0]) or np.abs(values).max() or 1.0
    return np.full(len(values), scatter**2)


def noise_variance(residuals, scattered, wings, good) -> np.ndarray:
    """Variance of the pixels from their scatter: a constant plus a multiple of the light."""
    light = np.maximum(scattered + wings, 0)
    apart = (wings < WING_ERROR * np.abs(scattered)) & good
    if np.count_nonzero(apart) < LEAST_PIXELS:
        apart = (wings <= np.quantile(wings[good], 0.2)) & good
    limit = (OUTLIER * scatter_about_zero(residuals[good])) ** 2
    clipped, of_apart = np.minimum(residuals[apart] ** 2, limit), light[apart]
    constant, slope = _line_from_zero_on(of_apart, clipped)
    variance = constant + slope * light
    # Without any noise, as in a frame of zeros, all pixels have the same weight; otherwise the few
    # where the fit falls to zero would have all of it.
    least = max(1e-12 * np.mean((residuals + scattered + wings) ** 2),
                _LEAST_NOISE * clipped.mean())
    return np.maximum(variance, least or 1.0)


def _line_from_zero_on(x, y) -> tuple[float, float]:
    """Constant and slope of the best line through positive values, neither of them negative."""
    mean, scale = y.mean(), max(float(x.max()), np.finfo(float).tiny)
    x = x / scale
    spread = x - x.mean()
    slope = (spread * y).sum() / max((spread**2).sum(), np.finfo(float).tiny)
    if slope <= 0:
        return mean, 0.0
    constant = mean - slope * x.mean()
    if constant < 0:
        constant, slope = 0.0, (x * y).sum() / (x**2).sum()
    return constant, slope / scale

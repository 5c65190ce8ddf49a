# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scatter of a few values that agree by chance: that of similar pixels rather than zero."""

from collections.abc import Sequence

import numpy as np
from scipy.special import chdtri

from ccdproc_echelle.combining.scales import OrderScales
from ccdproc_echelle.combining.streaming import CombinedImages
from ccdproc_echelle.frames import Frame

__all__ = ["fill_zero_scatter"]

# Pixels with about the same light have about the same noise.
_PIXELS_OF_A_BIN = 500
_MOST_BINS = 64


def fill_zero_scatter(
    images: CombinedImages, frames: Sequence[Frame], scales: np.ndarray | OrderScales
) -> None:
    """
    Replace zero variances by those of equally bright pixels.

    The variance is at least that of digitisation, or of rounding if the numbers were not digitised.
    If all values are 0, nothing is known and the variance is NaN.

    Parameters
    ----------
    images : `CombinedImages`
        Images combined from frames without uncertainties; modified in place.
    frames : sequence of `Frame`
        The frames; nothing is read from them.
    scales : float array, shape (n_frames,), or `OrderScales`
        Factors by which the frames were multiplied.
    """
    value, variance, count = (image.ravel() for image in images[:3])
    zero = np.flatnonzero((variance == 0) & (count > 1))
    if len(zero) == 0:
        return
    factors = getattr(scales, "values", scales)
    quantum = np.mean([frame.quantum**2 for frame in frames])
    rounding = _rounding(value, zero)
    if quantum == 0 and np.ptp(factors) > 0:
        # Numbers that were not digitised and are scaled differently agree only by rounding.
        variance[zero] = rounding
        return
    step = quantum / 12 * np.mean(factors) ** 2 / count[zero]
    # The median of a sample variance is below its mean.
    dof = len(frames) - 1
    found = np.maximum(_pooled(value, variance, zero) * dof / chdtri(dof, 0.5), step)
    found = np.maximum(found, rounding)
    variance[zero] = np.where(found > 0, found, np.nan)


def _rounding(value: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Variance of the last digit of the values at these pixels, or of a typical one."""
    size = np.maximum(np.abs(value[where]), np.nanmean(np.abs(value), dtype=float))
    return (np.finfo(value.dtype).eps * size) ** 2


def _pooled(value: np.ndarray, variance: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Median variance of all pixels with about the same value as these pixels."""
    known = np.flatnonzero(np.isfinite(variance))
    order = known[np.argsort(value[known], kind="stable")]
    n_bins = max(1, min(_MOST_BINS, len(order) // _PIXELS_OF_A_BIN))
    bins = np.array_split(order, n_bins)
    medians = np.array([np.median(variance[pixels]) for pixels in bins])
    starts = value[[pixels[0] for pixels in bins]]
    return medians[np.maximum(np.searchsorted(starts, value[where], side="right") - 1, 0)]

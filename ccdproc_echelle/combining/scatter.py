# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The scatter of a few values that happen to agree: not zero, but that of pixels like theirs."""

from collections.abc import Sequence

import numpy as np

from ccdproc_echelle.combining.scales import OrderScales
from ccdproc_echelle.combining.streaming import CombinedImages
from ccdproc_echelle.frames import Frame

__all__ = ["fill_zero_scatter"]

# Pixels of about the same light have about the same noise.
_PIXELS_OF_A_BIN = 500
_MOST_BINS = 64

# This part of them may be cosmic rays.
_OUTLIERS = 0.02


def fill_zero_scatter(
    images: CombinedImages, frames: Sequence[Frame], scales: np.ndarray | OrderScales
) -> None:
    """
    Replace variances of 0 by the mean variance of pixels that are as bright.

    It is no less than that of the digitisation; where all pixels agree and there is none, nothing
    is known of the noise, and the variance is NaN.

    Parameters
    ----------
    images : `CombinedImages`
        Combined from frames without uncertainties; changed in place.
    frames : sequence of `Frame`
        The frames, of which nothing is read.
    scales : float array, shape (n_frames,), or `OrderScales`
        By which they were multiplied.
    """
    value, variance, count = (image.ravel() for image in images[:3])
    zero = np.flatnonzero((variance == 0) & (count > 1))
    if len(zero) == 0:
        return
    factors = np.mean(getattr(scales, "values", scales)) ** 2
    step = np.mean([frame.quantum**2 for frame in frames]) / 12 * factors / count[zero]
    found = np.maximum(_pooled(value, variance, zero), step)
    variance[zero] = np.where(found > 0, found, np.nan)


def _pooled(value: np.ndarray, variance: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean variance, at these pixels, of all pixels of about the same value."""
    known = np.flatnonzero(np.isfinite(variance))
    order = known[np.argsort(value[known], kind="stable")]
    n_bins = max(1, min(_MOST_BINS, len(order) // _PIXELS_OF_A_BIN))
    bins = np.array_split(order, n_bins)
    means = np.array([_clipped_mean(variance[pixels]) for pixels in bins])
    starts = value[[pixels[0] for pixels in bins]]
    return means[np.maximum(np.searchsorted(starts, value[where], side="right") - 1, 0)]


def _clipped_mean(values: np.ndarray) -> float:
    values = np.sort(values.astype(float))
    return float(values[: len(values) - int(_OUTLIERS * len(values))].mean())

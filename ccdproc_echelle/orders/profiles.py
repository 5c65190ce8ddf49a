# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A flat as cross-dispersion profiles: medians of a few dispersion pixels, free of hot columns.

For the tracer. The dispersion is along the first axis and the cross-dispersion along the last.
"""

import numpy as np
from astropy.stats import mad_std
from scipy.ndimage import maximum_filter1d, median_filter, minimum_filter1d, uniform_filter1d

from ccdproc_echelle._numeric.medians import column_median
from ccdproc_echelle.orders.slices import bridged

__all__ = ["median_slices", "steadier_axis", "without_hot_columns"]


def steadier_axis(image: np.ndarray) -> int:
    """The axis along which an image changes less once noise is taken out along it."""
    changes = []
    for raster in (image, image.T):
        _, slices = median_slices(raster, None)
        steps = np.abs(np.diff(slices, axis=1))
        steps = steps[np.isfinite(steps)]
        # A few steps are hot columns.
        limit = np.percentile(steps, 98) if len(steps) else 0
        changes.append(np.minimum(steps, limit).mean() if len(steps) else 0)
    return int(np.argmax(changes))


def median_slices(raster: np.ndarray, width: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Middle dispersion pixel and median of each slice, (n_slices,) and (n_slices, n_cross)."""
    n_pixels, n_cross = raster.shape
    if width is None:
        width = max(1, min(int(np.clip(n_pixels // 250, 5, 15)), n_pixels // 20))
    n_slices = n_pixels // width
    first = (n_pixels - n_slices * width) // 2
    blocks = raster[first : first + n_slices * width].reshape(n_slices, width, n_cross)
    values = blocks.swapaxes(0, 1).reshape(width, -1)
    good = np.isfinite(values)
    slices = column_median(values, None if good.all() else good).reshape(n_slices, n_cross)
    pixels = first + width * np.arange(n_slices) + 0.5 * (width - 1)
    return pixels, slices


def without_hot_columns(slices: np.ndarray) -> np.ndarray:
    """NaN where one or two cross-dispersion pixels stick out in slice after slice."""
    filled = np.nan_to_num(bridged(slices))
    usual = median_filter(filled, size=(1, 5), mode="nearest")
    excess = filled - usual
    noise = mad_std(excess)
    contrast = usual - minimum_filter1d(usual, 15, axis=1)
    hot = (excess > 0.5 * contrast + 6 * noise).astype(float)
    reach = max(3, len(slices) // 10)
    often = uniform_filter1d(hot, reach, axis=0, mode="nearest") > 0.5
    return np.where(maximum_filter1d(often, reach, axis=0) & (hot > 0), np.nan, slices)

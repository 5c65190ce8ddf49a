# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A flat as cross-dispersion profiles: medians of a few dispersion pixels, free of hot columns.

For the tracer. The dispersion is along the first axis and the cross-dispersion along the last.
"""

import numpy as np
from astropy.stats import mad_std
from scipy.ndimage import (
    find_objects,
    label,
    maximum_filter1d,
    median_filter,
    minimum_filter1d,
    uniform_filter1d,
)

from ccdproc_echelle._numeric.medians import column_median
from ccdproc_echelle.orders.slices import bridged

__all__ = ["median_slices", "steadier_axis", "without_hot_columns"]

# Hot columns are so many pixels wide at most; what is wider is the track of an order.
_WIDEST_HOT = 3

# So many narrow bands, and more than there are wide ones, are orders. A hot column among them is
# so many times brighter.
_SEVERAL, _FAR_BRIGHTER = 4, 5.0


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
    """
    NaN where one or two cross-dispersion pixels stick out in slice after slice.

    Orders two pixels wide do so as well. They are told by what they leave: nothing that stands out
    as often; a hot column among them is far brighter than they are.
    """
    filled = np.nan_to_num(bridged(slices))
    usual = median_filter(filled, size=(1, 5), mode="nearest")
    excess = filled - usual
    noise = mad_std(excess)
    contrast = usual - minimum_filter1d(usual, 15, axis=1)
    limit = 0.5 * contrast + 6 * noise
    stuck = _stuck(excess > limit)
    if _are_orders(stuck, contrast > 6 * noise):
        stuck = _stuck(excess > _FAR_BRIGHTER * np.median(excess[stuck]))
    return np.where(stuck, np.nan, slices)


def _stuck(bright: np.ndarray) -> np.ndarray:
    """Where pixels are bright in slice after slice, but for what moves on to the next ones."""
    reach = max(3, len(bright) // 10)
    often = uniform_filter1d(bright.astype(float), reach, axis=0, mode="nearest") > 0.5
    stuck = maximum_filter1d(often, reach, axis=0) & bright
    tracks, _ = label(stuck, structure=np.ones((3, 3)))
    moving = [
        k for k, part in enumerate(find_objects(tracks), start=1)
        if part[1].stop - part[1].start > _WIDEST_HOT
    ]
    return stuck & ~np.isin(tracks, moving)


def _are_orders(stuck: np.ndarray, usual: np.ndarray) -> bool:
    """Whether there are more narrow bands than wide ones, and too many for a defect."""
    narrow, wide = (np.median(_n_runs(part)) for part in (stuck, usual))
    return narrow >= _SEVERAL and narrow > wide


def _n_runs(marked: np.ndarray) -> np.ndarray:
    """Number of contiguous parts of each row."""
    padded = np.pad(marked, ((0, 0), (1, 0)))
    return (padded[:, 1:] & ~padded[:, :-1]).sum(axis=1)

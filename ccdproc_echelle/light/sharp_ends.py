# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the light of an order ends within a few pixels, which no smooth blaze can follow."""

import numpy as np
from scipy.ndimage import label, maximum_filter1d, median_filter

__all__ = ["in_the_dark"]

# Beyond a sharp end there is less than this fraction of the light, so many pixels away. A blaze
# falls as fast only where it has hardly any light left.
_DARK, _SHARP = 0.1, 10


def in_the_dark(values: np.ndarray, good: np.ndarray, length: int) -> np.ndarray:
    """
    Columns of an order, up to a length from its light, that lie beyond a sharp end of it.

    ``values`` and ``good`` have shape (n_rows, n_pixels), as for `fit_order`. Bad columns with
    light on both sides, or fewer than half a length of them, are no end.
    """
    beyond, known = np.zeros(values.shape[1], bool), np.flatnonzero(good.any(axis=0))
    if len(known) == 0:
        return beyond
    light = np.where(good, values, 0).sum(axis=0)[known] / good.sum(axis=0)[known]
    light = median_filter(light, min(length, 2 * len(light)), mode="reflect")
    reach = length // 2
    sides = [
        maximum_filter1d(light, 2 * reach + 1, origin=shift, mode="nearest")
        for shift in (-reach, reach)
    ]
    dark = np.minimum(*sides) < _DARK * np.maximum(*sides)
    sharp = light < _DARK * maximum_filter1d(light, 2 * _SHARP + 1)
    runs, _ = label(dark)
    beyond[known] = dark & np.isin(runs, runs[sharp])
    return beyond

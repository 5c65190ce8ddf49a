# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Unlit rows at the border of a detector: reference pixels or covered rows.

The step from the light of an order to these rows is as sharp as a slit edge, but it runs straight
along the detector where the order does not. The dispersion here is along the first axis.
"""

import numpy as np

from ccdproc_echelle._numeric.medians import finite_median

__all__ = ["without_dark_borders"]

# Dark borders are searched for within this distance of the end of the detector.
_DEPTH = 24

# An order lights the border where the light exceeds this fraction of the brightest light there.
_LIT = 0.25

# Dark rows have less than this fraction of the light of adjacent rows.
_DARK = 0.1

# Covered rows, and the first uncovered one, are flat to this fraction of the step between them, in
# at least this fraction of the slices.
_FLAT, _NEARLY_ALL = 0.25, 0.8

# The offsets that rows have in all slices do not count as long as they are less than this fraction.
_OFFSETS = 0.5

# Or they are darker than all light beside them, by this many times the variation of the darkest
# part of it, which is this fraction.
_DARKER, _DARKEST = 4, 1 / 8

# Minimum number of slices with the step in the same place while the order moves by this many
# pixels.
_LEAST_SLICES, _LEAST_MOVE = 5, 1.2


def without_dark_borders(raster: np.ndarray, columns: np.ndarray, path: np.ndarray) -> np.ndarray:
    """
    Set the dark border rows of an image to NaN; returns the same image if there are none.

    Parameters
    ----------
    raster : array, shape (n_pixels, n_cross)
    columns : array of int, shape (n_slices, slice_width)
        Dispersion pixels combined into each slice; negative values are ignored.
    path : array, shape (n_slices,)
        Path followed by orders near the border; NaN where it is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.orders.borders import without_dark_borders
    >>> pixels = np.arange(100)
    >>> image = np.where(np.abs(np.arange(60) - 0.1 * pixels[:, None] - 2) < 9, 100.0, 0.0)
    >>> image[:, :4] = 0
    >>> lit = without_dark_borders(image, pixels[:, None], 0.1 * pixels)
    >>> int(np.isnan(lit).all(axis=0).sum())
    4
    """
    low, high = (_n_dark(side, columns, path) for side in (raster, raster[:, ::-1]))
    if low == high == 0:
        return raster
    index = np.arange(raster.shape[1])
    return np.where((index < low) | (index >= len(index) - high), np.nan, raster)


def _n_dark(raster, columns, path) -> int:
    """Number of dark rows below the light of an order that moves across the detector."""
    values = np.where(columns[..., None] < 0, np.nan, raster[columns, :_DEPTH])
    slices = finite_median(values.swapaxes(1, 2))
    covered = _n_covered(slices)
    if covered and np.nanmax(path) - np.nanmin(path) > _LEAST_MOVE:
        return covered
    lowest = np.where(np.isfinite(slices), slices, np.inf).min(axis=1)
    slices = np.nan_to_num(slices - lowest[:, None])
    top = slices.max(axis=1)
    lit = np.isfinite(path) & (top > _LIT * np.percentile(top, 95)) & (top > 0)
    if lit.sum() < _LEAST_SLICES:
        return 0
    slices, top, path = slices[lit], top[lit], path[lit]
    first = (slices > 0.5 * top[:, None]).argmax(axis=1)
    n_dark = first.min()
    at_step = first == n_dark
    if n_dark == 0 or at_step.sum() < _LEAST_SLICES or np.ptp(path[at_step]) < _LEAST_MOVE:
        return 0
    below = slices[at_step, :n_dark].max(axis=1)
    return int(n_dark) if np.median(below / top[at_step]) < _DARK else 0


def _n_covered(slices) -> int:
    """
    Number of rows behind a row-to-row step that is present in all slices.

    A blurred edge is never that sharp, and a step that is part of an order follows the order. Where
    the flank of an order hides the step, the rows behind it are darker than anything between the
    orders.
    """
    rows = np.arange(1, _DEPTH // 2)
    step = slices[:, rows] - slices[:, rows - 1]
    around = slices[:, : _DEPTH // 2 + 1]
    after = np.abs(slices[:, rows + 1] - slices[:, rows])
    offsets = finite_median((around - around[:, :1]).T)
    outer, even = (_outer_range(light)[:, rows - 1] for light in (around, around - offsets))
    flat = (outer < _FLAT * step) | ((outer < _OFFSETS * step) & (even < _FLAT * step))
    sharp = (step > 0) & flat & (after < _FLAT * step)
    sharp |= np.array([_are_darkest(slices, row) for row in rows]).T
    found = np.flatnonzero(sharp.mean(axis=0) > _NEARLY_ALL)
    return int(rows[found[-1]]) if len(found) else 0


def _outer_range(slices) -> np.ndarray:
    """Range of the light of the rows from the first to each, in each slice."""
    return np.maximum.accumulate(slices, axis=1) - np.minimum.accumulate(slices, axis=1)


def _are_darkest(slices, row: int) -> np.ndarray:
    """Slices in which all rows before one are flat, and far darker than those from it on."""
    outer, rest = slices[:, :row], np.sort(slices[:, row:], axis=1)
    lowest = rest[:, 0]
    gap = lowest - outer.max(axis=1)
    varies = rest[:, int(_DARKEST * rest.shape[1])] - lowest
    return (gap > _DARKER * varies) & (np.ptp(outer, axis=1) < _FLAT * gap)

# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Curves drawn on the pixels of a detector.

All functions work on plain arrays: positions have one row per order and one column per dispersion
pixel, NaN where an order is not valid; rasters have rows along the cross-dispersion axis. Pixel
centres are 0-based integers; a pixel whose centre lies exactly on a curve is between the curves.
"""

from collections.abc import Callable, Iterator

import numpy as np

__all__ = [
    "between", "coverage", "nearest_order", "number_of_orders", "values_at", "window_rows"
]

# Orders are curved: within this many columns they touch fewer rows than in all of them.
_COLUMNS_AT_ONCE = 256

# A curve is treated as straight within a strip of a pixel; the largest resulting error in area.
_AREA_TOLERANCE = 1e-4

# An edge as close as this to the border between two pixels runs through neither.
_TOUCHING = 1e-6


def between(low: np.ndarray, high: np.ndarray, n_rows: int) -> np.ndarray:
    """Bool raster of the pixels whose centre lies between the two curves of any order."""
    return number_of_orders(low, high, n_rows) > 0


def number_of_orders(low: np.ndarray, high: np.ndarray, n_rows: int) -> np.ndarray:
    """Integer raster: the number of orders between whose curves each pixel centre lies."""
    return _sums(*_ends(low, high, n_rows), np.ones(len(low), dtype=np.int16), n_rows)


def window_rows(
    centers: np.ndarray, window: float, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    Rows within half a window of each centre, (n_orders, n_pixels, n), and which of them are valid.

    These are the pixels found by `between`, order by order.
    """
    low, high = centers - window / 2, centers + window / 2
    if window > n_rows:
        low, window = np.maximum(low, 0), n_rows
    rows = np.ceil(low)[:, :, None] + np.arange(int(window) + 1)
    inside = (rows <= high[:, :, None]) & (rows >= 0) & (rows < n_rows)  # False for NaN
    return np.where(inside, rows, 0).astype(int), inside


def values_at(image: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Values of the pixels nearest to positions (..., n_pixels); NaN off the image and for NaN."""
    inside = (positions >= 0) & (positions <= len(image) - 1)
    rows = np.where(inside, positions, 0).round().astype(int)
    return np.where(inside, image[rows, np.arange(image.shape[1])], np.nan)


def nearest_order(
    low: np.ndarray, high: np.ndarray, centers: np.ndarray, n_rows: int
) -> np.ndarray:
    """Index of the order between whose curves a pixel lies, the nearest if several; else -1."""
    first, last = _ends(low, high, n_rows)
    numbers = np.arange(1, len(low) + 1, dtype=np.int16)
    found = _sums(first, last, numbers, n_rows)
    overlap = np.count_nonzero(found, axis=0) < (last - first).sum(axis=0)
    found -= 1
    for columns in _pieces(low.shape[1]):
        if overlap[columns].any():
            curves = (curve[:, columns] for curve in (first, last, centers))
            found[:, columns] = _nearest_of_several(*curves, n_rows)
    return found


def _nearest_of_several(first, last, centers, n_rows: int) -> np.ndarray:
    """The same where orders overlap."""
    found = np.full((n_rows, first.shape[1]), -1, dtype=np.int16)
    distance = np.full(found.shape, np.inf)
    for index, (start, end, center) in enumerate(zip(first, last, centers, strict=True)):
        inside = start < end
        if not inside.any():
            continue
        rows = slice(start[inside].min(), end[inside].max())
        positions = np.arange(rows.start, rows.stop)[:, None]
        away = np.abs(positions - center)
        nearer = (positions >= start) & (positions < end) & (away < distance[rows])
        found[rows][nearer] = index
        distance[rows][nearer] = away[nearer]
    return found


def _ends(low: np.ndarray, high: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """First row between two curves, and the first one beyond; equal where there is no row."""
    with np.errstate(invalid="ignore"):
        first, last = (np.clip(x, 0, n_rows) for x in (np.ceil(low), np.floor(high) + 1))
        empty = ~(first < last)  # also where a curve is not known
    return tuple(np.where(empty, 0, end).astype(int) for end in (first, last))


def _sums(first, last, numbers: np.ndarray, n_rows: int) -> np.ndarray:
    """
    Raster in which each pixel is the sum of the numbers of the orders it belongs to.

    A number is added in the first row of its order, and subtracted in the row beyond, so that the
    sums over the rows below are what is wanted.
    """
    n_pixels = first.shape[1]
    raster = np.zeros((n_rows + 1, n_pixels), dtype=numbers.dtype)
    columns = np.arange(n_pixels)
    for start, end, number in zip(first, last, numbers, strict=True):
        raster[start, columns] += number
        raster[end, columns] -= number
    for row, above in zip(raster[1:], raster, strict=False):  # a tenth of the time of np.cumsum
        row += above
    return raster[:-1]


def _pieces(n_pixels: int) -> Iterator[slice]:
    """The columns of a detector, a few at a time."""
    for first in range(0, n_pixels, _COLUMNS_AT_ONCE):
        yield slice(first, min(first + _COLUMNS_AT_ONCE, n_pixels))


def coverage(
    lower: Callable, upper: Callable, ranges: np.ndarray, n_rows: int, n_pixels: int
) -> np.ndarray:
    """
    Fraction of the area of each pixel between the two curves of any order.

    The curves are functions of the position along the dispersion; an order exists within its range,
    (n_orders, 2), and a pixel in which it begins or ends counts only from, or up to, that point.
    """
    first, last = ranges.T[:, :, None]
    step = (last - first) / n_pixels
    within = first + step * np.arange(n_pixels + 1)
    n_strips = _strips_needed(*(curve(within) for curve in (lower, upper)), step)
    sides = np.arange(n_pixels * n_strips + 1) / n_strips - 0.5
    sides = np.clip(sides, first, last)
    return _covered_area(sides, lower(sides), upper(sides), n_rows, n_strips)


def crossed_by_edges(
    lower: Callable, upper: Callable, ranges: np.ndarray, n_rows: int, n_pixels: int
) -> np.ndarray:
    """Bool raster of the pixels that the two curves, or the ends of an order, run through."""
    sides = np.clip(np.arange(n_pixels + 1) - 0.5, *ranges.T[:, :, None])
    inside = np.diff(sides)
    (lowest, low), (high, highest) = (
        (np.minimum(left, right), np.maximum(left, right))
        for left, right in ((curve[:, :-1], curve[:, 1:]) for curve in (lower(sides), upper(sides)))
    )
    exists = inside > 0
    exists = np.stack([exists, exists, exists & (inside < 1 - _TOUCHING)])
    starts = np.where(exists, [lowest, high, lowest], np.nan).reshape(-1, n_pixels)
    stops = np.where(exists, [low, highest, highest], np.nan).reshape(-1, n_pixels)
    reach = 0.5 - _TOUCHING
    return between(starts - reach, stops + reach, n_rows)


def _strips_needed(lower: np.ndarray, upper: np.ndarray, step: np.ndarray) -> int:
    """Number of strips per pixel for which curves with these steps are straight enough."""
    bends = [np.abs(np.diff(curve, 2, axis=1)) / step**2 for curve in (lower, upper)]
    largest = max(np.max(bend, initial=0, where=np.isfinite(bend)) for bend in bends)
    # On average, a parabola differs from its chord by a twelfth of its second difference.
    return max(1, int(np.ceil(np.sqrt(largest / 12 / _AREA_TOLERANCE))))


def _covered_area(
    sides: np.ndarray, lower: np.ndarray, upper: np.ndarray, n_rows: int, n_strips: int
) -> np.ndarray:
    """
    Fraction of the area of each pixel between the curves, which are straight within each strip.

    ``sides``, and the curves evaluated there, have shape (n_orders, n_pixels * n_strips + 1).
    """
    n_pixels = (sides.shape[1] - 1) // n_strips
    covered = np.zeros((n_rows, n_pixels))
    for columns in _pieces(n_pixels):
        strips = slice(columns.start * n_strips, columns.stop * n_strips + 1)
        curves = (curve[:, strips] for curve in (lower, upper))
        for low, high, widths in zip(*curves, np.diff(sides[:, strips]), strict=True):
            rows = _rows_between(low, high, n_rows)
            area = widths * (_fraction_below(high, rows) - _fraction_below(low, rows))
            pixels = len(area), columns.stop - columns.start, n_strips
            covered[rows, columns] += np.where(widths > 0, area, 0).reshape(pixels).sum(axis=2)
    return np.minimum(covered, 1.0, out=covered)


def _rows_between(low: np.ndarray, high: np.ndarray, n_rows: int) -> slice:
    """The rows that two curves may touch."""
    finite = np.isfinite(low) & np.isfinite(high)
    if not finite.any():
        return slice(0, 0)
    first = np.clip(np.floor(low[finite].min()), 0, n_rows)
    last = np.clip(np.ceil(high[finite].max()) + 1, 0, n_rows)
    return slice(int(first), int(last))


def _fraction_below(curve: np.ndarray, rows: slice) -> np.ndarray:
    """Fraction of each pixel of these rows below a curve; only rows that it crosses are split."""
    crossed = _rows_between(curve, curve, rows.stop)
    first = max(crossed.start, rows.start)
    below = np.zeros((rows.stop - rows.start, len(curve) - 1))
    below[: first - rows.start] = 1
    bottom = np.arange(first, crossed.stop)[:, None] - 0.5
    below[first - rows.start : crossed.stop - rows.start] = _area_below(curve - bottom)
    return below


def _area_below(heights: np.ndarray) -> np.ndarray:
    """
    Area of the unit pixel below a straight line, for lines through adjacent columns of heights.

    The mean of ``clip(h, 0, 1)`` along the line is the difference between its antiderivatives at
    the two ends, divided by the difference between the heights.
    """
    left, right = heights[:, :-1], heights[:, 1:]
    rise = right - left
    flat = np.abs(rise) < 1e-6
    mean = (_clip_integral(right) - _clip_integral(left)) / np.where(flat, 1.0, rise)
    return np.where(flat, np.clip(0.5 * (left + right), 0, 1), mean)


def _clip_integral(height: np.ndarray) -> np.ndarray:
    """Antiderivative of ``clip(h, 0, 1)``."""
    inside = np.clip(height, 0, 1)
    return 0.5 * inside**2 + np.maximum(height - 1, 0)

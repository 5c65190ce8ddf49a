# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Pixels between the orders whose light is not smooth: bands of light, and borders without any.

Secondary orders, ghosts and orders that are not in the table are brighter than smooth scattered
light; reference pixels and covered rows at the border of a detector are darker.
"""

from functools import partial
from itertools import pairwise

import numpy as np
from scipy.ndimage import binary_propagation

__all__ = [
    "crossed_orders", "displaced_orders", "lit_rows_and_columns", "outside", "stray_pixels",
]

# Blocks of pixels that are compared with the fit: at most as many along the orders as this, each of
# so many rows, and of so many pixels on average.
_ALONG, _ACROSS, _IN_BLOCK = 40, 2, 15

# No pixel counts for more than this many standard deviations of the noise, as cosmic rays do.
_CLIPPED = 2.0

# The mean of a block is stray light if it exceeds the fit by this many times its uncertainty, and
# that of blocks beside it, in the same gap, if it does so by as many times as the second number.
_SIGNIFICANT, _NOTICEABLE = 5.0, 1.0
_IN_GAP = np.zeros((3, 3, 3), dtype=bool)
_IN_GAP[1] = True

# Light crosses an order if, somewhere, most of the pixels between each two of these distances are
# stray on both sides. It matters if it exceeds this fraction of the light of the order.
_BESIDE, _MOST, _MATTERS = (0, 4, 8), 0.5, 0.005

# The wings of an order are not where its edge is if they are off by more than this, in pixels.
_DISPLACED = 0.2

# Covered borders are at most this deep, and are seen in at least this many pixels of a row that are
# at least so far from all orders.
_DEEPEST, _LEAST_SEEN, _FAR = 16, 20, 3.0

# Covered rows, and the first two lit ones, differ by less than this fraction of the step, which is
# there in each of so many parts of a row.
_FLAT, _PARTS = 0.25, 5

# Where orders lie beside the border, covered rows are at least so much darker than the darkest
# light between the orders, which is this percentile of the pixels in every n-th column.
_DARKER, _DARKEST, _EVERY = 0.25, 10, 32


def stray_pixels(sample, residuals, variance, error, n_columns) -> np.ndarray:
    """
    Pixels between the orders in blocks that are brighter than a fit by more than their noise.

    Parameters
    ----------
    sample : `~ccdproc_echelle.light.interorder.Sample`
        The pixels; n of them.
    residuals, variance : arrays, shape (n,)
        Light minus fit, and the variance of its noise.
    error : array, shape (n,)
        Standard deviation of the fit, which neighbouring pixels share.
    n_columns : int
        Columns of the detector; the orders run along the rows.

    Returns
    -------
    bool array, shape (n,)
    """
    block, shape = _blocks(sample, n_columns)
    limit = _CLIPPED * np.sqrt(variance)
    number = np.maximum(np.bincount(block, minlength=np.prod(shape)), 1)
    mean, noise, shared = (
        np.bincount(block, values, np.prod(shape)) / number
        for values in (np.clip(residuals, -limit, limit), variance, error)
    )
    uncertainty = np.hypot(np.sqrt(noise / number), shared)
    pull = np.divide(mean, uncertainty, out=np.zeros_like(mean), where=uncertainty > 0)
    pull = pull.reshape(shape)
    stray = binary_propagation(pull > _SIGNIFICANT, _IN_GAP, mask=pull > _NOTICEABLE)
    return stray.ravel()[block]


def _blocks(sample, n_columns) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Index of the block of each pixel, and the number of gaps, and of blocks along and across."""
    from_below = np.isfinite(sample.distance[0])
    away = np.where(from_below, sample.distance[0], sample.distance[1])
    away = np.where(np.isfinite(away), away // _ACROSS, 0).astype(np.intp)
    n_gaps, n_away = int(sample.gap.max()) + 1, int(away.max()) + 1
    n_strips = len(np.unique(sample.gap * n_away + away))
    n_along = int(np.clip(len(away) / (_IN_BLOCK * n_strips), 1, _ALONG))
    shape = n_gaps, n_along, n_away
    along = sample.columns * n_along // n_columns
    return np.ravel_multi_index((sample.gap, along, away), shape), shape


def crossed_orders(sample, stray, residuals, brightness, n_columns) -> np.ndarray:
    """
    Orders with stray light on both sides, which therefore probably continues below them.

    Parameters
    ----------
    sample : `~ccdproc_echelle.light.interorder.Sample`
        The pixels between the orders; n of them.
    stray : bool array, shape (n,)
        Which of them have stray light.
    residuals : array, shape (n,)
        Light minus fit.
    brightness : array, shape (n_orders,)
        Typical brightness of the orders, from the lowest up.
    n_columns : int
        Columns of the detector; the orders run along the rows.

    Returns
    -------
    int array
        Their positions, counted from 0.
    """
    along, size = sample.columns * _ALONG // n_columns, len(brightness) * _ALONG
    light = np.full(size, np.inf)
    for order, distance in zip(sample.order, sample.distance, strict=True):
        for near, far in pairwise(_BESIDE):
            there = (distance >= near) & (distance < far)
            place, found = (order * _ALONG + along)[there], stray[there]
            n_there, n_found, total = (
                np.bincount(place, part, size) for part in (None, found, found * residuals[there])
            )
            mean = total / np.maximum(n_found, 1)
            light = np.minimum(light, np.where(n_found > _MOST * n_there, mean, -np.inf))
    light = light.reshape(-1, _ALONG)
    return np.flatnonzero((light > _MATTERS * np.abs(brightness)[:, None]).any(axis=1))


def displaced_orders(sample, shifts, light, n_orders: int) -> np.ndarray:
    """
    Orders whose light falls off elsewhere than at their edges, according to a fit.

    Parameters
    ----------
    sample : `~ccdproc_echelle.light.interorder.Sample`
        The pixels between the orders; n of them.
    shifts : array, shape (2, n)
        Distance by which the fit moved the edges of the orders below and above, in pixels.
    light : array, shape (2, n)
        Brightness of these orders, the weight of the shifts: where it is dark, they mean nothing.
    n_orders : int
        Number of orders.

    Returns
    -------
    int array
        Their positions, counted from 0.
    """
    squares = np.zeros(n_orders)
    for order, shift, weight, distance in zip(
        sample.order, shifts, light, sample.distance, strict=True
    ):
        weight = np.where(np.isfinite(distance), weight, 0)
        weights, total = (
            np.bincount(order, part, n_orders) for part in (weight, weight * shift**2)
        )
        squares = np.maximum(squares, total / np.where(weights > 0, weights, 1))
    return np.flatnonzero(squares > _DISPLACED**2)


def lit_rows_and_columns(
    data, usable, lower, upper
) -> tuple[tuple[int, int], tuple[int, int]]:
    """
    Find the rows and columns at the border that have no light.

    Parameters
    ----------
    data, usable : arrays, shape (rows, columns)
        An image and its usable pixels, with the orders along the rows.
    lower, upper : arrays, shape (n_orders, columns)
        Edges of the orders.

    Returns
    -------
    tuple of (int, int)
        First lit row and the one after the last, and the same for the columns.
    """
    usable, darkest, lit = usable.copy(), _darkest_light(data, usable, lower, upper), []
    for axis, size in enumerate(data.shape):
        deepest, n_unlit = min(_DEEPEST, size // 4), []
        inwards = np.arange(min(_DEEPEST + 2, size))
        for strip in (inwards, size - 1 - inwards):
            lines = [np.arange(n) for n in data.shape]
            lines[axis] = strip
            part = np.ix_(*lines)
            far = usable[part] & _far_from_orders(*lines, lower, upper, _FAR)
            image, seen, far = (x.swapaxes(0, axis) for x in (data[part], usable[part], far))
            n_unlit.append(_before_step(image, far, deepest, _is_step) or _before_step(
                image, seen, deepest, partial(_is_step_from_darkness, darkest=darkest)
            ))
            usable.swapaxes(0, axis)[strip[: n_unlit[-1]]] = False
        lit.append((n_unlit[0], size - n_unlit[1]))
    return tuple(lit)


def outside(lit, shape: tuple[int, int]) -> np.ndarray | None:
    """Pixels of an image outside the `lit_rows_and_columns`; `None` if there are none."""
    if lit == tuple((0, size) for size in shape):
        return None
    unlit = np.ones(shape, dtype=bool)
    unlit[tuple(slice(*ends) for ends in lit)] = False
    return unlit


def _far_from_orders(rows, columns, lower, upper, distance: float) -> np.ndarray:
    far = np.ones((len(rows), len(columns)), dtype=bool)
    for low, high in zip(lower[:, columns] - distance, upper[:, columns] + distance, strict=True):
        near = np.flatnonzero((rows >= low.min()) & (rows <= high.max()))
        far[near] &= (rows[near, None] < low) | (rows[near, None] > high)
    return far


def _darkest_light(data, usable, lower, upper) -> float:
    """Light between the orders where there is least of it, apart from the borders."""
    (top, bottom), (left, right) = (
        (min(_DEEPEST, size // 4), size - min(_DEEPEST, size // 4)) for size in data.shape
    )
    rows, columns = np.arange(top, bottom), np.arange(left, right, _EVERY)
    between = _far_from_orders(rows, columns, lower, upper, 1) & usable[np.ix_(rows, columns)]
    light = data[np.ix_(rows, columns)][between]
    return float(np.percentile(light, _DARKEST)) if len(light) >= _LEAST_SEEN else 0.0


def _before_step(image, seen, deepest: int, is_step) -> int:
    """Number of rows before a step that is present all along the first rows."""
    for n in range(deepest, 0, -1):
        columns = np.flatnonzero(seen[: n + 2].all(axis=0))
        if len(columns) >= _LEAST_SEEN and is_step(image[: n + 2, columns]):
            return n
    return 0


def _is_step_from_darkness(rows, darkest: float) -> bool:
    """Whether light of any kind begins with the last but one of these rows, after dark ones."""
    if np.median(rows[0]) >= _DARKER * darkest:
        return False
    parts = np.array_split(rows[:-1].astype(float), _PARTS, axis=1)
    *dark, lit = np.array([np.median(part, axis=1) for part in parts]).T
    step = (lit - dark[-1]).min()
    scatter = np.median(np.abs(rows[:-2] - np.median(rows[:-2])))
    certain = step**2 * len(parts[-1][0]) > (3 * _SIGNIFICANT * scatter) ** 2
    return bool(
        step > 0 and certain and np.ptp(dark) < _FLAT * step and np.max(dark) < _DARKER * darkest
    )


def _is_step(rows) -> bool:
    """Whether the light begins with the last but one of these rows."""
    rows = rows.astype(float)
    steps = rows[-2] - rows[-3]
    step = np.median(steps)
    scatter = np.median(np.abs(steps - step))
    if step <= 0 or step**2 * len(steps) < (3 * _SIGNIFICANT * scatter) ** 2:
        return False
    if min(np.median(part) for part in np.array_split(steps, _PARTS)) <= 0:
        return False
    *before, _, after = np.median(np.diff(rows, axis=0), axis=1)
    outside = np.append(0, np.cumsum(before))
    return np.ptp(outside) < _FLAT * step and abs(after) < _FLAT * step

# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Orders whose peak is hidden: saturated, or masked because it was.

The half-maximum of what remains of such an order lies too far out. Saturated light is recognised by
having no noise: photon noise and pixel response scatter any other light.

Plain arrays; the dispersion is along the first axis.
"""

from typing import NamedTuple

import numpy as np

from ccdproc_echelle._numeric.medians import finite_median

__all__ = ["Hidden", "saturation_level", "with_masked_peaks", "without_hidden_peaks"]

# Number of stretches in which saturation is searched for, and pixels in each.
_N_STRETCHES, _LENGTH = 20, 12

# Saturated light has less than this fraction of the noise of other light, relative to its level. A
# frame whose noise, relative to the light, is below the second number is not judged. The noise is
# measured with fourth differences, to which the slopes of orders hardly contribute, in the quietest
# part (the third number) of the light that is not saturated. There must be such light in at least
# the last fraction of the stretches.
_STEADY, _LEAST_NOISE, _QUIET, _MOST_STRETCHES = 0.1, 1e-3, 0.25, 0.5

# Light used to measure that noise, as a fraction of the brightest; saturated light is brighter. The
# pixel values of saturated light agree to within the last fraction.
_FAINTEST, _BRIGHT, _SAME = 0.1, 0.9, 5e-3

# Number of saturated samples of the stretches by which a saturated frame is recognised, and their
# fraction of the bright ones: a few of many scatter little by chance.
_LEAST_SAMPLES, _LEAST_SHARE = 4, 0.01

# More masked pixels than this on an order centre, between light that falls to less than a fraction
# within a few pixels on either side, hide the peak of the order.
_MOST_MASKED, _FALL, _WITHIN = 4, 0.7, 3


class Hidden(NamedTuple):
    """The level at which a frame is saturated, or None, and the hidden part of each order."""

    level: float | None
    fractions: np.ndarray


def saturation_level(raster: np.ndarray) -> float | None:
    """
    Level at which the light of a flat is saturated; None if it is not.

    Parameters
    ----------
    raster : array, shape (n_pixels, n_cross)
        The light, NaN where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.orders.saturation import saturation_level
    >>> blaze = 40_000 * np.sin(np.linspace(0.3, 2.8, 400))
    >>> flat = np.random.default_rng(1).poisson(np.outer(blaze, [0.01, 0.5, 1, 1, 1, 0.5, 0.01]))
    >>> saturation_level(flat.astype(float)), saturation_level(np.minimum(flat, 30_000.0))
    (None, 30000.0)
    """
    length = min(_LENGTH, len(raster))
    starts = np.linspace(0, len(raster) - length, _N_STRETCHES).astype(int)
    light = raster[starts[:, None] + np.arange(length)].swapaxes(1, 2)
    level = finite_median(light)
    noise = finite_median(np.abs(np.diff(light, 4, axis=-1))) / np.sqrt(70)
    top = np.nanmax(level, initial=0)
    if not top > 0:
        return None
    other = (level > _FAINTEST * top) & (level < _BRIGHT * top) & np.isfinite(noise)
    if other.any(axis=1).mean() < _MOST_STRETCHES:
        return None
    usual = np.quantile(noise[other] / level[other], _QUIET)
    bright = level >= _BRIGHT * top
    steady = bright & (noise < _STEADY * usual * level)
    if usual < _LEAST_NOISE or steady.sum() < max(_LEAST_SAMPLES, _LEAST_SHARE * bright.sum()):
        return None
    return float(np.median(level[steady]))


def without_hidden_peaks(raster: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, Hidden]:
    """
    Set orders to NaN in the dispersion pixels in which their peak is saturated or masked.

    Parameters
    ----------
    raster : array, shape (n_pixels, n_cross)
        The light, NaN where there is none.
    centers : array, shape (n_orders, n_pixels)
        Order centres.

    Returns
    -------
    raster : array, shape (n_pixels, n_cross)
        The same array if nothing is hidden.
    hidden : `Hidden`
    """
    level = saturation_level(raster)
    result, fractions = raster, np.zeros(len(centers))
    rows = np.arange(raster.shape[1])
    for order, curve in enumerate(centers):
        center, pixels = _on_detector(curve, len(rows))
        if level is None and not np.isnan(raster[pixels, center]).any():
            continue
        low, high = _territory(curve, centers, len(rows))
        own = (rows >= low[pixels, None]) & (rows < high[pixels, None])
        light = np.where(own, raster[pixels], -np.inf)
        hidden = _is_masked(light, center)
        if level is not None:
            hidden |= (light >= (1 - _SAME) * level).any(axis=1)
        if hidden.any():
            result = raster.copy() if result is raster else result
            result[pixels[hidden]] = np.where(own[hidden], np.nan, result[pixels[hidden]])
            fractions[order] = hidden.mean()
    return result, Hidden(level, fractions)


def with_masked_peaks(slices: np.ndarray) -> np.ndarray:
    """
    Fill the masked peaks of orders with a straight line, so that the orders can be found.

    Parameters
    ----------
    slices : array, shape (n_slices, n_cross)
        The light, NaN where it is masked.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.orders.saturation import with_masked_peaks
    >>> nothing = np.nan
    >>> with_masked_peaks(np.array([[0, 0, 1, 9, *[nothing] * 5, 9, 1, 0, 0, *[nothing] * 5, 0]]))
    array([[ 0.,  0.,  1.,  9.,  9.,  9.,  9.,  9.,  9.,  9.,  1.,  0.,  0.,
            nan, nan, nan, nan, nan,  0.]])
    """
    masked = np.isnan(slices)
    start = masked & ~np.pad(masked, [(0, 0), (1, 0)])[:, :-1]
    if masked.all() or not start.any():
        return slices
    light = slices - np.nanmin(slices)
    row, first = np.nonzero(start)
    last = np.nonzero(masked & ~np.pad(masked, [(0, 0), (0, 1)])[:, 1:])[1]
    inside = (first > 0) & (last < slices.shape[1] - 1) & (last - first >= _MOST_MASKED)
    row, first, last = row[inside], first[inside] - 1, last[inside] + 1
    peak = _falls(light, row, first, -1) & _falls(light, row, last, 1)
    filled = slices.copy()
    for k, low, high in zip(row[peak], first[peak], last[peak], strict=True):
        filled[k, low : high + 1] = np.linspace(slices[k, low], slices[k, high], high - low + 1)
    return filled


def _falls(light: np.ndarray, row: np.ndarray, place: np.ndarray, step: int) -> np.ndarray:
    """Whether the light falls steeply from a place going in the given direction."""
    beyond = light[row, np.clip(place + step * _WITHIN, 0, light.shape[1] - 1)]
    return ~(beyond >= _FALL * light[row, place])


def _on_detector(center: np.ndarray, n_cross: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of an order centre and the dispersion pixels at which it is on the detector."""
    row = np.rint(np.nan_to_num(center, nan=-1)).astype(int)
    pixels = np.flatnonzero((row >= 0) & (row < n_cross))
    return row[pixels], pixels


def _territory(
    center: np.ndarray, centers: np.ndarray, n_cross: int
) -> tuple[np.ndarray, np.ndarray]:
    """Borders of the part of the detector nearer to an order than to any other."""
    away = centers - center
    below = np.where(away < 0, away, -np.inf).max(axis=0)
    above = np.where(away > 0, away, np.inf).min(axis=0)
    return np.nan_to_num(center + below / 2), np.nan_to_num(center + above / 2, nan=n_cross)


def _is_masked(light: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Dispersion pixels in which the masked pixels around the centre hide the peak of the light."""
    masked, index = np.isnan(light), np.arange(light.shape[1])
    hidden = masked[np.arange(len(light)), center]
    if not hidden.any():
        return hidden
    light, masked, center = light[hidden], masked[hidden], center[hidden, None]
    first = np.where(~masked & (index < center), index, 0).max(axis=1)
    last = np.where(~masked & (index > center), index, len(index) - 1).min(axis=1)
    each = np.arange(len(light))
    falls = _falls(light, each, first, -1) & _falls(light, each, last, 1)
    falls &= last - first - 1 > _MOST_MASKED
    hidden[hidden] = falls
    return hidden

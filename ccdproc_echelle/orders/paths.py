# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Paths along which orders run, or would run, and a flat straightened along them.

For the tracer. The flanks of the orders, followed from slice to slice wherever they are clear, give
the slope of the orders as a smooth function of the position on the detector; the paths are the
integral curves of that function.
"""

import numpy as np
from numpy.polynomial.chebyshev import chebgrid2d, chebval, chebvander2d
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from ccdproc_echelle._numeric.robust import soft_fit
from ccdproc_echelle.orders.slices import bridged

__all__ = ["corrected_paths", "paths_along", "straightened", "unit"]

# Number of slices over which one flank of an order is followed to measure its slope, and its
# largest RMS deviation from a straight line, in pixels.
_FOLLOWED, _STRAIGHT = 8, 0.4

# A flank is clear if its steepness is at least the first fraction of that of the steepest one
# nearby, and the second fraction of that of the steepest one in half of the detector.
_CLEAR, _CLEAR_FROM_AFAR = 0.25, 0.05

# Degrees in (cross-dispersion, dispersion) of the smooth functions: slope, and its correction.
_SLOPE_DEGREES, _CORRECTION_DEGREES = (3, 3), (3, 4)


def _slopes_of_flanks(pixels: np.ndarray, slices: np.ndarray) -> np.ndarray:
    """Samples (position, pixel, slope) of the clear flanks of orders, shape (3, n_samples)."""
    gradient = gaussian_filter1d(np.nan_to_num(bridged(slices)), 1.0, axis=1, order=1)
    gradient[np.isnan(slices)] = 0
    steepest = maximum_filter1d(np.abs(gradient), max(40, slices.shape[1] // 8), axis=1)
    # Between widely spaced orders there is only the pattern of the detector, which is straight.
    around = maximum_filter1d(steepest, max(40, slices.shape[1] // 2), axis=1)
    strong = np.maximum(_CLEAR * steepest, _CLEAR_FROM_AFAR * around)
    samples = []
    for flank in (gradient, -gradient):
        peaks = [_maxima(row, least) for row, least in zip(flank, strong, strict=True)]
        samples += _slopes_of_tracks(pixels, peaks)
    return np.concatenate(samples, axis=1) if samples else np.empty((3, 0))


def _maxima(row: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Positions of the maxima of a profile above a limit, from a parabola through the peak."""
    left, here, right = row[:-2], row[1:-1], row[2:]
    top = np.flatnonzero((here > left) & (here >= right) & (here > least[1:-1]))
    left, here, right = left[top], here[top], right[top]
    return top + 1 + 0.5 * (right - left) / (2 * here - left - right)


def _slopes_of_tracks(pixels: np.ndarray, peaks: list[np.ndarray]) -> list[np.ndarray]:
    """The slope of each flank that can be followed in a straight line through several slices."""
    samples = []
    n = min(_FOLLOWED, len(peaks))
    for k in range(0, len(peaks) - n + 1, max(1, n // 2)):
        track = [peaks[k]]
        for following in peaks[k + 1 : k + n]:
            track.append(_nearest(track[-1], following))
        track = np.array(track)
        x = pixels[k : k + n] - pixels[k : k + n].mean()
        slope = x @ track / (x @ x)
        off = track - track.mean(axis=0) - x[:, None] * slope
        straight = np.sqrt(np.mean(off**2, axis=0)) < _STRAIGHT
        middle = np.full(track.shape[1], pixels[k : k + n].mean())
        samples.append(np.stack([track.mean(axis=0), middle, slope])[:, straight])
    return samples


def _nearest(places: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """The candidate nearest to each place; NaN where there is none."""
    if len(candidates) == 0:
        return np.full(len(places), np.nan)
    at = np.clip(np.searchsorted(candidates, places), 1, max(len(candidates) - 1, 1))
    above = candidates[np.minimum(at, len(candidates) - 1)]
    below = candidates[at - 1]
    return np.where(places - below < above - places, below, above)


def unit(values: np.ndarray, size: float) -> np.ndarray:
    """From 0 ... size - 1 to -1 ... 1."""
    return 2 * values / (size - 1) - 1


def paths_along(pixels: np.ndarray, slices: np.ndarray):
    """
    Cross-dispersion position of the paths at each slice, (n_slices, n_paths), or None.

    Adjacent paths are one pixel apart at the middle slice; the first and last ones are off the
    detector there. The label of a path is its index, possibly fractional.
    """
    position, pixel, slope = _slopes_of_flanks(pixels, slices)
    n_cross, length = slices.shape[1], pixels[-1] + pixels[0] + 1
    if len(slope) == 0:
        return None
    degrees = _SLOPE_DEGREES if len(slope) > 200 else (1, 2) if len(slope) >= 10 else (0, 0)
    basis = chebvander2d(unit(position, n_cross), unit(pixel, length), degrees)
    coefficients = soft_fit(basis, slope, least_scatter=1e-4)

    def slopes(positions, pixel):
        inside = unit(np.clip(positions, 0, n_cross - 1), n_cross)
        return chebval(inside, chebval(unit(pixel, length), grid))

    grid = coefficients.reshape(degrees[0] + 1, -1).T
    borders = _integrated(slopes, pixels, np.array([0.0, n_cross - 1.0])) - [0, n_cross - 1]
    reach = min(int(np.abs(borders).max()) + 10, 2 * n_cross)
    labels = np.arange(-reach, n_cross + reach, dtype=float)
    return _refined(_integrated(slopes, pixels, labels[_coarse(len(labels))]), len(labels))


def _integrated(slopes, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Integral curves of the slopes from the middle slice outwards, by the midpoint method."""
    paths = np.empty((len(pixels), len(labels)))
    middle = len(pixels) // 2
    paths[middle] = labels
    for step in (1, -1):
        last = len(pixels) - 1 if step == 1 else 0
        for k in range(middle, last, step):
            dx = pixels[k + step] - pixels[k]
            half = paths[k] + 0.5 * dx * slopes(paths[k], pixels[k])
            paths[k + step] = paths[k] + dx * slopes(half, pixels[k] + 0.5 * dx)
    return paths


def _coarse(n_paths: int) -> np.ndarray:
    """The subset of paths that suffices to interpolate all of them."""
    return np.unique(np.append(np.arange(0, n_paths, 8), n_paths - 1))


def _refined(coarse: np.ndarray, n_paths: int) -> np.ndarray:
    """All paths, linear between the coarse ones."""
    paths, index = np.arange(n_paths), _coarse(n_paths)
    return np.array([np.interp(paths, index, row) for row in coarse])


def straightened(slices: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """The slices along the paths, linear between pixels, NaN off the detector."""
    n_cross = slices.shape[1]
    whole = np.floor(paths).astype(int)
    fraction = paths - whole
    outside = (whole < 0) | (whole >= n_cross - 1)
    whole[outside] = 0
    here = np.take_along_axis(slices, whole, axis=1)
    above = np.take_along_axis(slices, whole + 1, axis=1)
    return np.where(outside, np.nan, here + fraction * (above - here))


def corrected_paths(paths, pixels, orders, middles):
    """The paths moved to the observed positions of the orders."""
    place = np.concatenate([np.full(len(o["centers"]), o["label"]) for o in orders])
    pixel = np.concatenate([middles[o["sections"]] for o in orders])
    off = np.concatenate([o["centers"] - o["label"] for o in orders])
    labels = np.arange(paths.shape[1], dtype=float)
    length, low, high = pixels[-1] + pixels[0] + 1, place.min(), place.max()
    degrees = (min(_CORRECTION_DEGREES[0], len(orders) // 3), _CORRECTION_DEGREES[1])
    if len(off) < 3 * (degrees[0] + 1) * (degrees[1] + 1):
        degrees = (0, 2)

    def across(place):
        return 2 * (np.clip(place, low, high) - low) / max(high - low, 1) - 1

    basis = chebvander2d(across(place), unit(pixel, length), degrees)
    grid = soft_fit(basis, off, least_scatter=1e-3).reshape(degrees[0] + 1, -1)
    index = _coarse(paths.shape[1])
    moves = chebgrid2d(unit(pixels, length), across(index), grid.T)
    shifted = [
        _interpolated(path, labels, index + move) for path, move in zip(paths, moves, strict=True)
    ]
    return _refined(np.array(shifted), len(labels))


def _interpolated(values: np.ndarray, labels: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Interpolate to other labels; beyond the ends, extrapolate with the step at the end."""
    return np.interp(at, labels, values) + at - np.clip(at, labels[0], labels[-1])

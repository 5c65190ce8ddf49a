# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Find where the light of an order falls to its edges in cross-dispersion slices.

On each side of a slice the levels of the plateau and of the background are measured, and the edge
is where the light falls through a given fraction of the step between them. A step blurred by a
symmetric point-spread function keeps half its height where the step was.

These functions work on plain arrays. While crossings are searched for, both sides of a slice are
treated alike: the lower side is mirrored, so that an edge is always a fall of the light to the
right. Arrays then have shape (2, n_slices, n_samples) or (2, n_slices), with the slices of all
orders in a row and the lower side first. Positions are indices along the slice.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.special import ndtri

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle.orders.slices import (
    Slices,
    bridged,
    extract_slices,
    search_radii,
    take,
    widened,
    with_response_noise,
)

__all__ = [
    "RISING", "Crossings", "blur_variance", "crossing_errors", "measured_slices", "shoulders",
]

# Minimum light above the background for a measurement, in units of the noise of one sample.
_MIN_SIGNAL_TO_NOISE = 10.0

# Likewise, in units of the brightest slice of an order.
_LEAST_CONTRAST = 5e-3

# The plateau extends this far from the middle of an order, in units of its half-width. Further out,
# a blur of a sixth of the width would affect it.
_PLATEAU = 0.6

# The next order begins where the light beyond an edge rises to this fraction of the plateau: that
# order may be several times fainter.
RISING = 0.2

# Slices without detected edges are retried at this many times their width.
_WIDENINGS = (3, 9)

# Light that goes on beyond an edge: more than this fraction of the step, at this many standard
# deviations of the blur plus this many pixels from it, and not rising from there, to this accuracy.
_SHOULDER, _BEYOND_BLUR, _BEYOND_PIXELS, _NOT_RISING = 0.2, 2.5, 1.0, 0.95

# The gap to the neighbours must be this many times that distance.
_ROOM = 3

# Number of samples of which the median is taken as the light of a stretch of a profile.
_N_BETWEEN = 15


class Crossings(NamedTuple):
    """Measurements in the slices; all (2, n_orders, n_slices), lower edges first."""

    edges: np.ndarray  # index along the slice, NaN where not found
    plateaus: np.ndarray  # light of the order at its edge
    backgrounds: np.ndarray  # light beyond the edge


def measured_slices(raster, variance, centers, columns, lengths, levels):
    """
    Extract slices and find where the light falls through one of the levels.

    Where a slice shows no edges, usually for lack of light, a wider one around the same pixel is
    tried. The noise of the frame decides whether there is enough light; the noise of the returned
    slices includes the pixel response as well.
    """
    pixels = columns.mean(axis=1)
    reach, near = int(np.ceil(lengths.max() / 2)), search_radii(centers, lengths)

    def measure(rows, places, columns):
        slices = extract_slices(raster, variance, centers[rows], pixels[places], columns, reach)
        slices.profiles[_is_beyond(lengths[rows], reach, len(places))] = np.nan
        return slices, _find_crossings(slices, lengths[rows], near[rows], levels)

    slices, crossings = measure(np.arange(len(centers)), np.arange(len(columns)), columns)
    for widening in _WIDENINGS:
        missing = np.isnan(crossings.edges).any(axis=0)
        rows, places = (np.flatnonzero(missing.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            break
        wider, crossed = measure(rows, places, widened(columns[places], widening, len(raster)))
        before = np.isfinite(crossings.edges).sum(axis=0)[np.ix_(rows, places)]
        better = np.isfinite(crossed.edges).sum(axis=0) > before
        row, place = (index[k] for index, k in zip((rows, places), better.nonzero(), strict=True))
        for ours, theirs in zip(slices, wider, strict=True):
            ours[row, place] = theirs[better]
        for ours, theirs in zip(crossings, crossed, strict=True):
            ours[:, row, place] = theirs[:, better]
    _leave_out_dark(crossings)
    return with_response_noise(slices), crossings


def _leave_out_dark(crossings: Crossings) -> None:
    """Remove edges where an order is practically dark, since any light there is not its own."""
    steps = crossings.plateaus - crossings.backgrounds
    full = np.where(np.isfinite(steps), steps, 0).max(axis=(0, 2), keepdims=True)
    crossings.edges[~(steps > _LEAST_CONTRAST * full)] = np.nan


def _is_beyond(lengths, reach, n_slices) -> np.ndarray:
    """Which samples are too far from the order centre, (n_orders, n_slices, n_samples)."""
    away = np.abs(np.arange(-reach, reach + 1))
    beyond = away > lengths[:, None, None] / 2
    return np.broadcast_to(beyond, (len(lengths), n_slices, len(away)))


def _find_crossings(slices: Slices, lengths, near, levels) -> Crossings:
    """Where the light falls through the first of the levels for which both edges are found."""
    n_orders, n_slices, n_samples = slices.profiles.shape
    reach = np.repeat(lengths / 2, n_slices)
    profiles = slices.profiles.reshape(-1, n_samples)
    sides = np.stack([profiles[:, ::-1], profiles])
    smooth = _smoothed(sides, max(1, int(lengths.min() / 24)))
    edges = _rough_edges(smooth, reach, np.repeat(near, n_slices))
    for _ in range(2):  # the levels depend slightly on the edge positions
        middle, half = _middle_and_half(edges, n_orders, n_samples)
        plateau = _plateau_at_edge(sides, middle, half)
        background = _background(sides, smooth, middle + half, plateau, reach)
        step = plateau - background
        relative = (sides - background[..., None]) / np.where(step > 0, step, np.nan)[..., None]
        edges = np.full(middle.shape, np.nan)
        for level in levels:
            missing = np.isnan(edges).any(axis=0)
            edges[:, missing] = _crossings(relative[:, missing], middle[:, missing], level)
    noise = slices.noise.reshape(-1, n_samples)
    noise = _median_between(noise, (middle - half)[1], (middle + half)[1])
    edges[~(step > _MIN_SIGNAL_TO_NOISE * noise)] = np.nan
    edges = _mirrored_back(edges, n_samples)
    return Crossings(*(a.reshape(2, n_orders, n_slices) for a in (edges, plateau, background)))


def _middle_and_half(rough: np.ndarray, n_orders: int, n_samples: int):
    """
    Middle of the order in each slice, and its half-width, from rough edges.

    The width is the median over the order, or that of the nearest orders if it has none. It gives
    the middle of slices in which only one edge was seen.
    """
    lower, upper = _mirrored_back(rough, n_samples).reshape(2, n_orders, -1)
    half = 0.5 * bridged(finite_median(upper - lower))[:, None]
    middle = np.where(np.isnan(upper), lower + half, upper - half)
    middle = np.where(np.isfinite(lower + upper), 0.5 * (lower + upper), middle).ravel()
    return _mirrored_back(np.stack([middle, middle]), n_samples), np.repeat(half, len(lower[0]))


def _mirrored_back(edges: np.ndarray, n_samples: int) -> np.ndarray:
    return np.stack([n_samples - 1 - edges[0], edges[1]])


# ---------------------------------------------------------------------- rough edges


def _rough_edges(smooth: np.ndarray, reach: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Half-height falls from the brightest sample near the order centre to the faintest outside."""
    n_samples = smooth.shape[-1]
    index = np.arange(n_samples)
    inside = np.abs(index - n_samples // 2) <= near[:, None]
    top = np.where(inside & np.isfinite(smooth), smooth, -np.inf)
    start, peak = top.argmax(axis=-1), top.max(axis=-1)
    outside = (index >= start[..., None]) & np.isfinite(smooth)
    floor = np.where(outside, smooth, np.inf).min(axis=-1)
    # where the detector cuts one side short, the faintest sample may lie on the plateau
    floor = np.where(_is_cut(smooth, reach), np.fmin(floor, floor[::-1]), floor)
    usable = np.isfinite(peak) & np.isfinite(floor)
    level = 0.5 * (np.where(usable, peak, np.nan) + np.where(usable, floor, np.nan))
    return _first_fall(smooth, start, level)


def _smoothed(profiles: np.ndarray, width: int) -> np.ndarray:
    """Running mean over finite samples."""
    finite = np.isfinite(profiles)
    weight = uniform_filter1d(finite.astype(float), width, mode="constant")
    total = uniform_filter1d(np.where(finite, profiles, 0), width, mode="constant")
    return np.where(weight > 0.5 / width, total / np.maximum(weight, 0.5 / width), np.nan)


def _is_cut(profiles: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Where the detector ends before the slice does."""
    index = np.arange(profiles.shape[-1])
    last = np.where(np.isfinite(profiles), index, -1).max(axis=-1)
    return last < len(index) // 2 + np.floor(reach)


def _first_fall(profiles: np.ndarray, start: np.ndarray, level: np.ndarray) -> np.ndarray:
    """First position right of ``start`` where the profile falls to the level; NaN if none."""
    index = np.arange(profiles.shape[-1])
    fallen = (index > start[..., None]) & (profiles <= level[..., None])
    first = fallen.argmax(axis=-1)
    return np.where(fallen.any(axis=-1), _interpolated(profiles, first - 1, level), np.nan)


def _interpolated(profiles: np.ndarray, before: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Where the line from sample ``before`` to the next one crosses the level."""
    before = np.clip(before, 0, profiles.shape[-1] - 2)
    left, right = (take(profiles, before + step) for step in (0, 1))
    drop = np.where(left > right, left - right, np.nan)
    return before + (left - level) / drop


# ---------------------------------------------------------------------- levels and crossings


def _plateau_at_edge(sides: np.ndarray, middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Plateau level extrapolated to the edge along the line through the plateau's two halves."""
    narrow = half < 4
    far = np.where(narrow, 0.5, 1) * _PLATEAU * half
    near = np.where(narrow, -far, far / 3)
    outer = _median_between(sides, middle + near, middle + far)
    inner = _median_between(sides, middle - far, middle - near)
    rise = np.where(narrow, 0, outer - inner)
    extrapolated = 0.5 * (outer + inner) + rise / (2 * _PLATEAU * 2 / 3)
    return np.where(np.isnan(extrapolated), np.where(np.isnan(outer), inner, outer), extrapolated)


def _background(sides, smooth, edge, plateau, reach) -> np.ndarray:
    """
    Level between the orders: the median of the middle third of the gap beyond each edge.

    The gap ends where the light rises again, or with the slice. Where the detector cuts it short,
    the gap may be too narrow to show the background, or be a dip within the order; the darker of
    the two sides is then used.
    """
    index = np.arange(sides.shape[-1])
    beyond = (index > edge[..., None]) & np.isfinite(smooth)
    dark = np.where(beyond, smooth, np.inf)
    darkest = dark.min(axis=-1)
    level = (1 - RISING) * darkest + RISING * plateau
    rising = beyond & (index > dark.argmin(axis=-1)[..., None]) & (smooth > level[..., None])
    # the valley before the next order may be filled with light, and one further out darker
    climb = 0.5 * (plateau - np.where(np.isfinite(darkest), darkest, np.nan))
    rising |= beyond & (smooth > np.minimum.accumulate(dark, axis=-1) + climb[..., None])
    last = np.where(beyond, index, -1).max(axis=-1)
    end = np.where(rising.any(axis=-1), rising.argmax(axis=-1), last)
    end = np.where(beyond.any(axis=-1), end, np.nan)
    third = (end - edge) / 3
    background = _median_between(sides, edge + third, end - third)
    within = background > 0.5 * (background[::-1] + plateau)
    cut = (within | ~rising.any(axis=-1)) & _is_cut(smooth, reach)
    return np.where(cut, np.fmin(background, background[::-1]), background)


def _median_between(profiles: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Median of samples spread evenly from low to high; NaN if there are none."""
    usable = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(usable, low, 0), np.where(usable, high, 0)
    part = np.linspace(0, 1, _N_BETWEEN)
    places = np.rint(low[..., None] + (high - low)[..., None] * part).astype(int)
    inside = (places >= 0) & (places < profiles.shape[-1]) & usable[..., None]
    values = np.take_along_axis(profiles, np.where(inside, places, 0), axis=-1)
    return finite_median(np.where(inside, values, np.nan))


def _crossings(relative: np.ndarray, middle: np.ndarray, level: float) -> np.ndarray:
    """
    Where the light, as a fraction of the step, falls through the level; NaN if it does not.

    The fall extends from the last sample well above the level to the first one well below it. Noise
    can cross the level several times in between; the mean of the first and last crossings is
    unbiased.
    """
    index = np.arange(relative.shape[-1])
    below = (index > middle[..., None]) & (relative <= 0.5 * level)
    end = below.argmax(axis=-1)
    until_end = index < end[..., None]
    above = until_end & (index >= np.floor(middle)[..., None]) & (relative >= 0.5 * (1 + level))
    start = len(index) - 1 - above[..., ::-1].argmax(axis=-1)
    fallen = (index > start[..., None]) & (relative <= level)
    not_yet = until_end & (relative > level)
    first = fallen.argmax(axis=-1) - 1
    final = len(index) - 1 - not_yet[..., ::-1].argmax(axis=-1)
    edges = 0.5 * (_blurred_crossing(relative, first, level)
                   + _blurred_crossing(relative, final, level))
    return np.where(below.any(axis=-1) & above.any(axis=-1), edges, np.nan)


def _blurred_crossing(relative: np.ndarray, before: np.ndarray, level: float) -> np.ndarray:
    """Where the light falls through the level between two samples, assuming a blurred step."""
    before = np.clip(before, 0, relative.shape[-1] - 2)
    left, right = (
        ndtri(np.clip(take(relative, before + step), 0.001, 0.999)) for step in (0, 1)
    )
    return before + (left - ndtri(level)) / np.where(left > right, left - right, np.nan)


# ---------------------------------------------------------------------- blur and noise


def blur_variance(slices, crossings) -> float:
    """Variance of the blur of the frame, pixel included, from the steepness of the edges."""
    before = np.floor(np.nan_to_num(crossings.edges))
    step = crossings.plateaus - crossings.backgrounds
    fall = np.abs(_at(slices.profiles, before + 1) - _at(slices.profiles, before)) / step
    fall = np.clip(finite_median(fall[np.isfinite(crossings.edges)][None])[0], 0.02, 0.98)
    # the steepest one-pixel fall of a step blurred by sigma lies between ±0.5 / sigma
    variance = (0.5 / ndtri(0.5 + fall / 2)) ** 2 - np.mean(slices.smear)
    return np.fmax(variance, 1 / 12)


def crossing_errors(slices, crossings, blur, level) -> np.ndarray:
    """
    Standard deviation of the crossings: noise divided by slope.

    The noise includes that of the two samples around the crossing, each interpolated from two
    pixels, and that of the plateau and background levels.
    """
    edges, smear = crossings.edges, slices.smear
    outwards = np.array([-1.0, 1.0])[:, None, None]
    width = edges[1] - edges[0]
    width = np.where(np.isnan(width), bridged(finite_median(width))[:, None], width)
    below = np.floor(edges)
    fraction = edges - below
    between = fraction * (1 - fraction)
    at_edge = ((1 - fraction) * _at(slices.noise, below) ** 2
               + fraction * _at(slices.noise, below + 1) ** 2)
    at_edge *= (1 - 2 * between) * (1 - 2 * smear) + 2 * between * smear
    # 1.75 and -0.75 times the medians of two fifths of the half-width, as in _plateau_at_edge
    on_plateau = _at(slices.noise, edges - outwards * width / 4) ** 2
    on_plateau *= (1.75**2 + 0.75**2) * np.pi / 2 / np.maximum(0.2 * width, 1)
    # the median of at least two samples
    beyond = _at(slices.noise, edges + outwards * 4 * np.sqrt(blur)) ** 2 * np.pi / 4
    variance = at_edge + level**2 * on_plateau + (1 - level) ** 2 * beyond
    step = crossings.plateaus - crossings.backgrounds
    slope = step * np.exp(-0.5 * ndtri(level) ** 2) / np.sqrt(2 * np.pi * (blur + smear))
    return np.sqrt(variance) / np.where(slope > 0, slope, np.nan)


def shoulders(slices, crossings, blur, lengths) -> np.ndarray:
    """
    Which orders have light that goes on beyond an edge without rising again, (n_orders,).

    All have the same slit: none, unless most of them do.
    """
    outwards = np.array([-1.0, 1.0])[:, None, None]
    distance = _BEYOND_BLUR * np.sqrt(blur) + _BEYOND_PIXELS
    steps = crossings.plateaus - crossings.backgrounds
    near, far = (
        (_at(slices.profiles, crossings.edges + outwards * part * distance) - crossings.backgrounds)
        / np.where(steps > 0, steps, np.nan)
        for part in (0.7, 1)
    )
    seen = np.isfinite(crossings.edges)
    near, far = (finite_median(np.where(seen, light, np.nan)) for light in (near, far))
    gaps = lengths / 1.5 - finite_median(crossings.edges[1] - crossings.edges[0])
    alone = gaps > _ROOM * distance  # far enough from the light of the neighbours
    found = ((far > _SHOULDER) & (near > _NOT_RISING * far)).any(axis=0) & alone
    return found & (found.mean() > 0.5)


def _at(samples: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Samples of each slice at a rounded place on either side; places are (2, ...)."""
    index = np.clip(np.rint(np.nan_to_num(places)), 0, samples.shape[-1] - 1).astype(int)
    return np.stack([take(samples, side) for side in index])

# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The orders among the bands of light of a straightened flat.

An order is seen in a section as an interval between half-maximum edges. All positions are labels
of paths. ``cut`` says that an interval ends, below or above, where the detector does.
"""

from itertools import pairwise

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.ndimage import uniform_filter1d

from ccdproc_echelle._numeric.robust import soft_fit
from ccdproc_echelle.orders.paths import corrected_paths, paths_along, straightened
from ccdproc_echelle.orders.sections import lower_envelope, section_means

__all__ = ["WIDTH_TOLERANCE", "find_orders"]

# An order stands out from the valleys beside it by this fraction of its height.
_LEAST_PROMINENCE = 0.3

# Of the brightest light; what is less is no structure and no noise.
_ROUNDING = 1e-15

# Orders are looked for in so many sections of the dispersion axis.
_N_SECTIONS = 16

# Sections at least in which an order is seen.
_LEAST_SECTIONS = 2

# And the sum of its signal-to-noise ratios there, in units of the least one.
_LEAST_EVIDENCE = 4

# The width of an order is within this factor of what its neighbours suggest.
WIDTH_TOLERANCE = 1.6


def find_orders(pixels, slices, min_signal_to_noise):
    """Paths, orders, and window for the background; None where there are no orders."""
    paths = paths_along(pixels, slices)
    if paths is None:
        return None
    window = max(80, slices.shape[1] // 8)
    for _ in range(3):
        straight = straightened(slices, paths)
        mean, noise, starts = section_means(straight, _N_SECTIONS)
        seen = _intervals(mean, noise, window, min_signal_to_noise)
        orders = _grouped(*seen, min_signal_to_noise)
        if len(orders) == 0:
            return None
        middles = 0.5 * (pixels[starts[:-1]] + pixels[starts[1:] - 1])
        paths = corrected_paths(paths, pixels, orders, middles)
        centers = np.array([order["label"] for order in orders])
        if len(orders) > 1:
            window = int(2.5 * np.median(np.diff(centers))) + 3
    return paths, orders, window


def _intervals(profiles, noise, window, min_signal_to_noise):
    """Section, centre, width, cut and signal-to-noise of each interval, arrays (n_intervals,)."""
    light = profiles - lower_envelope(profiles, window)
    seen = [
        _intervals_of_profile(k, *row, min_signal_to_noise)
        for k, row in enumerate(zip(light, noise, strict=True))
    ]
    return tuple(np.concatenate(parts) for parts in zip(*seen, strict=True))


def _intervals_of_profile(section, light, noise, min_signal_to_noise):
    from scipy.signal import find_peaks  # half a second, which all but the tracing can do without

    finite = np.isfinite(light)
    filled = np.where(finite, light, 0.0)
    smooth = np.where(finite, uniform_filter1d(filled, 3), 0.0)
    rounding = _ROUNDING * np.abs(smooth).max(initial=0) or 1.0
    peaks, found = find_peaks(smooth, prominence=rounding)
    prominence = found["prominences"]
    clear = (prominence > min_signal_to_noise * noise[peaks] / np.sqrt(2)) & (
        prominence > _LEAST_PROMINENCE * smooth[peaks]
    )
    peaks = peaks[clear]
    valleys = [a + int(np.argmin(smooth[a:b])) for a, b in pairwise(peaks)]
    limits = [0, *valleys, len(light) - 1]
    strength = prominence[clear] / np.maximum(noise[peaks], rounding)
    centers, widths, cuts = [], [], []
    for k, peak in enumerate(peaks):
        level = 0.5 * smooth[peak]
        lower, low_cut = _fall(filled, finite, peak, limits[k], level)
        upper, high_cut = _fall(filled, finite, peak, limits[k + 1], level)
        centers.append(0.5 * (lower + upper))
        widths.append(upper - lower)
        cuts.append(low_cut + 2 * high_cut)
    number, widths = np.full(len(centers), section), np.array(widths)
    seen = number, np.array(centers), widths, np.array(cuts, dtype=int), strength
    # Between two bands a pixel or two apart the smoothed profile has a peak that the light has not.
    return tuple(part[widths > 0] for part in seen)


def _fall(light, finite, peak, limit, level) -> tuple[float, bool]:
    """Where the light falls to a level on the way from the peak, and whether it ends before."""
    step = 1 if limit > peak else -1
    way = np.arange(peak, limit + step, step)
    below = np.flatnonzero(light[way] <= level)
    last = below[0] if len(below) else len(way) - 1
    if not finite[way[: last + 1]].all():
        return float(way[np.argmin(finite[way])] - 0.5 * step), True
    if len(below) == 0 or last == 0:
        return float(way[last]), False
    before, after = light[way[last - 1]], light[way[last]]
    return way[last - 1] + step * (before - level) / (before - after), False


def _grouped(section, center, width, cut, strength, min_signal_to_noise) -> list[dict]:
    """
    The orders: intervals of different sections on the same path.

    Those that are cut, or of another width than the others nearby, have no say in where.
    """
    whole = cut == 0
    if not whole.any():
        return []
    expected = _expected_widths(center[whole], width[whole], center)
    fit = whole & (np.abs(np.log(np.maximum(width, 0.1) / expected)) < np.log(WIDTH_TOLERANCE))
    middle = np.where(cut == 1, center + 0.5 * (width - expected),
                      np.where(cut == 2, center - 0.5 * (width - expected), center))
    usable = fit | (((cut == 1) | (cut == 2)) & (width > 0.25 * expected))
    rank = np.flatnonzero(usable)[np.argsort(middle[usable])]
    ends = np.flatnonzero(np.diff(middle[rank]) > 0.4 * expected[rank][1:]) + 1
    orders = []
    for members in np.split(rank, ends):
        enough = strength[members].sum() > _LEAST_EVIDENCE * min_signal_to_noise
        if enough and len(np.unique(section[members])) >= _LEAST_SECTIONS:
            best = members[fit[members]] if fit[members].any() else members
            orders.append({
                "label": np.median(middle[best]), "width": np.median(expected[best]),
                "sections": section[best], "centers": middle[best],
                "seen": np.unique(section[members]),
            })
    return orders


def _expected_widths(places: np.ndarray, widths: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Width of an order at a place: a smooth function, fitted robustly to those measured."""
    low, high = places.min(), places.max()
    degree = 1 if high - low > 5 * np.median(widths) else 0
    scaled = [2 * (np.clip(x, low, high) - low) / max(high - low, 1) - 1 for x in (places, where)]
    logs = np.log(np.maximum(widths, 0.1))
    # Of narrow bands beside the orders there may be more than of orders; they hold less light.
    rank = np.argsort(widths)
    start = logs[rank][np.searchsorted(np.cumsum(widths[rank]), 0.5 * widths.sum())]
    coefficients = soft_fit(
        chebvander(scaled[0], degree), logs - start, weights=widths, least_scatter=0.05
    )
    return np.exp(start + chebvander(scaled[1], degree) @ coefficients)

# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Identify the orders among the bands of light of a straightened flat.

In each section, an order is an interval between half-maximum edges. All positions are labels of
paths. ``cut`` marks intervals that end, below or above, at the border of the detector.
"""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from astropy.stats import mad_std
from numpy.polynomial.chebyshev import chebvander
from scipy.ndimage import median_filter, uniform_filter1d

from ccdproc_echelle._numeric.medians import finite_median, weighted_median
from ccdproc_echelle._numeric.peaks import prominent_tops
from ccdproc_echelle._numeric.robust import soft_fit
from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.neighbours import WIDTH_TOLERANCE, warn_of_uneven_widths
from ccdproc_echelle.orders.paths import corrected_paths, straightened
from ccdproc_echelle.orders.sections import Sections, lower_envelope, means_of
from ccdproc_echelle.orders.slices import bridged
from ccdproc_echelle.orders.touching import split_touching, warn_of_touching

__all__ = ["Wanted", "find_orders"]

# An order stands out from the valleys on either side by this fraction of its height.
_LEAST_PROMINENCE = 0.3

# As a fraction of the brightest light; anything fainter is neither structure nor noise.
_ROUNDING = 1e-15

# Number of sections of the dispersion axis searched for orders.
_N_SECTIONS = 16

# Minimum number of sections in which an order must be seen.
_LEAST_SECTIONS = 2

# Minimum sum of its signal-to-noise ratios there, in units of the detection limit.
_LEAST_EVIDENCE = 4

# Minimum light of an order, as a fraction of that of its only neighbour, and of the fainter one of
# two. A fainter band lies beside the orders; if it is an order, a gap is reported.
_LEAST_LIGHT, _LEAST_BETWEEN_TWO = 0.03, 0.1

# Light at the border of the detector is pointed out if it is at least this fraction of that of the
# last order, and if its edge is where the next order would begin, to within this fraction of the
# spacing.
_LEAST_AT_BORDER, _OF_SPACING = 0.05, 0.3

# Minimum distance of its centre from theirs, in units of its width, and from those of bands never
# seen beside it: where an order fades, its light may seem to leave the path.
_APART, _APART_UNSEEN = 0.75, 1.5

# A band is a row if it wanders across the paths by at least this many pixels, but across the rows
# of the detector by less than this fraction of that, and has less than this fraction of the light
# of a neighbour.
_LEAST_WANDERING, _STRAIGHTER, _FAINT = 0.3, 0.5, 0.2

# Orders narrower than this are searched for without any smoothing.
_NARROW = 5.0

# The light of an order reaches this many pixels beyond its edges. Scatter of the profiles about
# their running median over this many pixels, with at least this many between the orders, is a
# detector pattern.
_FOOT, _SMOOTH, _LEAST_BETWEEN = 4, 15, 30

# Largest logarithmic deviation from the expected width for a band to count as an order.
_WILD = np.log(2.5)


class Wanted(NamedTuple):
    """What the user knows about the orders."""

    min_signal_to_noise: float
    n_orders: int | None = None
    min_width: float | None = None
    max_width: float | None = None
    first_row: int = 0  # of the region in which to search, for messages
    n_parts: int = 1  # traces in an order


def find_orders(pixels, slices, paths, wanted: Wanted):
    """Corrected paths, orders, and background window; None if there are no orders."""
    window, orders = max(80, slices.shape[1] // 8), []
    for _ in range(3):
        sections = Sections(straightened(slices, paths), _N_SECTIONS)
        mean, noise = sections.means()
        starts = sections.starts
        noise = np.hypot(noise, _pattern(mean, orders))
        width = np.median([order["width"] for order in orders]) if orders else None
        seen = _intervals(mean, noise, window, width, wanted.min_signal_to_noise)
        seen = seen.of_width(wanted.min_width, wanted.max_width)
        bands, course = seen, means_of(paths, starts)
        seen = _grouped(bands, wanted.min_signal_to_noise)
        if orders:  # these defined the paths
            seen = _along_paths(seen, course)
        orders = _among_equals(seen)
        orders = _brightest(orders, wanted.n_orders)
        if len(orders) == 0:
            return None
        middles = 0.5 * (pixels[starts[:-1]] + pixels[starts[1:] - 1])
        paths = corrected_paths(paths, pixels, orders, middles)
        centers = np.array([order["label"] for order in orders])
        if len(orders) > 1:
            window = int(2.5 * np.median(np.diff(centers))) + 3
    if wanted.n_orders is None and len(orders) > 1:
        course = course + wanted.first_row
        if wanted.n_parts == 1:
            warn_of_uneven_widths(orders, partial(_rows, course))
        for last, side in ((orders[1::-1], -1), (orders[-2:], 1)):
            _warn_of_light_beyond(bands, last, side, course, wanted.min_signal_to_noise)
        warn_of_touching(bands, orders, partial(_rows, course), len(mean))
    return paths, orders, window


def _pattern(mean: np.ndarray, orders: list[dict]) -> np.ndarray:
    """
    Scatter of the profiles between the orders, (n_sections, 1).

    The fixed pattern of a detector is the same in every slice, so the differences between slices
    do not reveal it.
    """
    between = np.ones(mean.shape[1], dtype=bool)
    for order in orders:
        away = np.abs(np.arange(mean.shape[1]) - order["label"])
        between &= away > 0.5 * order["width"] + _FOOT
    between &= np.isfinite(mean).any(axis=0)
    if not orders or between.sum() < _LEAST_BETWEEN:
        return np.zeros((len(mean), 1))
    dark = np.where(between, mean, np.nan)  # or the feet of narrow orders pass for a pattern
    level = median_filter(bridged(dark), size=(1, _SMOOTH), mode="nearest")
    off = np.where(np.isfinite(mean), np.abs(mean - level), np.nan)[:, between]
    return MAD_TO_SIGMA * np.nan_to_num(finite_median(off))[:, None]


# ---------------------------------------------------------------------- intervals


class _Intervals(NamedTuple):
    """Bands of light in sections; all arrays, (n_intervals,)."""

    section: np.ndarray
    center: np.ndarray
    width: np.ndarray
    cut: np.ndarray
    strength: np.ndarray  # signal-to-noise ratio
    light: np.ndarray
    split: np.ndarray  # from a wider band

    def of_width(self, least, most) -> "_Intervals":
        """Intervals within the width limits; of cut ones, not those that belong to wider bands."""
        least, most = least or 0, most or np.inf
        kept = (self.width <= most) & ((self.cut > 0) | (self.width >= least))
        wider = self.width > most
        inside = np.abs(self.center[:, None] - self.center[wider]) < 0.5 * self.width[wider]
        kept &= (self.cut == 0) | ~inside.any(axis=1)
        return _Intervals(*(part[kept] for part in self))


def _intervals(profiles, noise, window, width, min_signal_to_noise) -> _Intervals:
    """The bands of light; without any smoothing if the orders are known to be narrow."""
    light = profiles - lower_envelope(profiles, window)

    def found(smoothing):
        seen = [
            _intervals_of_profile(k, *row, smoothing, min_signal_to_noise)
            for k, row in enumerate(zip(light, noise, strict=True))
        ]
        return _Intervals(*(np.concatenate(parts) for parts in zip(*seen, strict=True)))

    if width is not None:
        return found(1 if width < _NARROW else 3)
    seen = found(1)
    narrow = len(seen.width) > 0 and weighted_median(seen.width, seen.light) < _NARROW
    return seen if narrow else found(3)


def _intervals_of_profile(section, light, noise, smoothing, min_signal_to_noise):
    finite = np.isfinite(light)
    filled = np.where(finite, light, 0.0)
    smooth = np.where(finite, uniform_filter1d(filled, smoothing), 0.0)
    rounding = _ROUNDING * np.abs(smooth).max(initial=0) or 1.0
    peaks, prominence = prominent_tops(smooth, rounding)
    clear = (prominence > min_signal_to_noise * noise[peaks] * np.sqrt(1.5 / smoothing)) & (
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
    seen = (number, np.array(centers), widths, np.array(cuts, dtype=int), strength,
            widths * smooth[peaks], np.zeros(len(peaks), dtype=bool))
    # Between two bands a pixel or two apart, smoothing creates a peak that is not in the light.
    return tuple(part[widths > 0] for part in seen)


def _fall(light, finite, peak, limit, level) -> tuple[float, bool]:
    """
    Where the light falls to a level going outwards from the peak, and whether it is cut first.
    """
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


# ---------------------------------------------------------------------- orders


def _grouped(seen: _Intervals, min_signal_to_noise) -> list[dict]:
    """
    Group intervals of different sections on the same path into orders.

    Intervals that are cut, or whose width differs from the others nearby, do not contribute to the
    position.
    """
    whole = seen.cut == 0
    if not whole.any():
        return []
    expected = _expected_widths(
        seen.center[whole], seen.width[whole], seen.light[whole], seen.center
    )
    (section, center, width, cut, strength, light, split), expected = split_touching(seen, expected)
    whole = cut == 0
    fit = whole & (np.abs(np.log(np.maximum(width, 0.1) / expected)) < np.log(WIDTH_TOLERANCE))
    middle = np.where(cut == 1, center + 0.5 * (width - expected),
                      np.where(cut == 2, center - 0.5 * (width - expected), center))
    usable = fit | (((cut == 1) | (cut == 2)) & (width > 0.25 * expected))
    rank = np.flatnonzero(usable)[np.argsort(middle[usable])]
    ends = np.flatnonzero(np.diff(middle[rank]) > 0.4 * expected[rank][1:]) + 1
    # An order that is complete only where it is faint has more light than is seen there.
    light = np.where(cut == 0, light, light * expected / np.maximum(width, 0.1))
    orders = []
    for members in np.split(rank, ends):
        enough = strength[members].sum() > _LEAST_EVIDENCE * min_signal_to_noise
        if enough and len(np.unique(section[members])) >= _LEAST_SECTIONS:
            best = members[fit[members]]
            if len(np.unique(section[best])) < _LEAST_SECTIONS:
                best = members
            orders.append({
                "label": np.median(middle[best]), "width": np.median(expected[best]),
                "seen_width": _width_of_most(width[members], whole[members]),
                "sections": section[best], "centers": middle[best], "seen": section[members],
                "light": light[members].mean(),  # of a short order, dark in most sections, as well
                "split": split[best].mean(),
            })
    return orders


def _width_of_most(widths: np.ndarray, whole: np.ndarray) -> float:
    """Median width of the intervals that are whole; NaN if most are cut."""
    return float(np.median(widths[whole])) if whole.mean() > 0.5 else np.nan


def _along_paths(orders: list[dict], paths: np.ndarray) -> list[dict]:
    """Drop faint bands that run along a row and not along the paths, (n_sections, n_paths)."""
    kept = []
    light = np.array([order["light"] for order in orders])
    for k, order in enumerate(orders):
        rows = _rows(paths, order["centers"], order["sections"])
        wanders = mad_std(order["centers"])  # despite a few sections where it is hardly seen
        faint = light[k] < _FAINT * light[max(k - 2, 0) : k + 3].max()
        if not faint or wanders < _LEAST_WANDERING or mad_std(rows) > _STRAIGHTER * wanders:
            kept.append(order)
    return kept


def _rows(paths: np.ndarray, labels, sections) -> list[float]:
    """Detector positions of labels in sections."""
    every = np.arange(paths.shape[1])
    return [np.interp(at, every, paths[k]) for at, k in zip(labels, sections, strict=True)]


def _among_equals(orders: list[dict]) -> list[dict]:
    """
    Drop orders that hold almost no light compared with their brighter neighbours, or lie in one.

    The light changes little from one order to the next, however much it does over the detector.
    """
    kept = []
    for order in sorted(orders, key=lambda order: -order["light"]):
        away = np.array([other["label"] - order["label"] for other in kept])
        near = np.flatnonzero(np.abs(away) < _APART_UNSEEN * order["width"])
        unseen = [not np.isin(order["seen"], kept[k]["seen"]).any() for k in near]
        if any(unseen) or (np.abs(away) < _APART * order["width"]).any():
            continue
        light = np.array([other["light"] for other in kept])
        if order["light"] > _least_light(light[away > 0][np.argsort(away[away > 0])],
                                         light[away < 0][np.argsort(-away[away < 0])]):
            kept.append(order)
    return sorted(kept, key=lambda order: order["label"])


def _least_light(above: np.ndarray, below: np.ndarray) -> float:
    """Minimum light of an order, given those on either side, the nearest first."""
    if len(above) and len(below):
        return _LEAST_BETWEEN_TWO * min(above[0], below[0])
    side = above if len(above) else below
    if len(side) < 2:
        return _LEAST_LIGHT * side[:1].sum()
    # Beyond the last order, light that falls from order to order continues to fall, at most twice
    # as steeply. A last order that is brighter than the one before it may be so by itself.
    return _LEAST_BETWEEN_TWO * min(side[:2]) * min(1, side[0] / side[1]) ** 2


def _warn_of_light_beyond(bands, last, side, paths, min_signal_to_noise) -> None:
    """Warn of light that a border cuts off where the order after the last two would be."""
    before, end = last
    spacing = abs(end["label"] - before["label"])
    begins = side * (bands.center - end["label"]) - 0.5 * bands.width
    beyond = (bands.cut & (1 if side < 0 else 2)) > 0
    beyond &= np.abs(begins - (spacing - 0.5 * end["width"])) < _OF_SPACING * spacing
    section, center, width, _, strength, light, _ = (part[beyond] for part in bands)
    if len(np.unique(section)) < _LEAST_SECTIONS:
        return
    light = np.mean(light * end["width"] / np.maximum(width, 0.1))
    clear = strength.sum() > _LEAST_EVIDENCE * min_signal_to_noise
    if clear and light > _LEAST_AT_BORDER * end["light"]:
        rows = _rows(paths, center, section)
        warn(
            f"light at the border of the detector, at position {np.median(rows):.0f}, beyond the "
            f"{'first' if side < 0 else 'last'} order found, is not traced and counts as "
            "inter-order light: if it comes from orders, mask it or add them to the order table"
        )


def _brightest(orders: list[dict], n: int | None) -> list[dict]:
    """The n orders with the most light; all of them if n is None."""
    brightest = sorted(orders, key=lambda order: -order["light"] * len(order["sections"]))[:n]
    return sorted(brightest, key=lambda order: order["label"])


def _expected_widths(places, widths, light, where) -> np.ndarray:
    """Width expected of an order at a given place, from a robust fit to the measured widths."""
    low, high = places.min(), places.max()
    start = weighted_median(widths, light)
    degree = 1 if high - low > 5 * start else 0
    scaled = [2 * (np.clip(x, low, high) - low) / max(high - low, 1) - 1 for x in (places, where)]
    logs = np.log(np.maximum(widths, 0.1) / start)
    # Ripples and narrow bands beside the orders may outnumber the orders, but hold less light.
    known = np.abs(logs) < _WILD
    basis, weights = chebvander(scaled[0][known], degree), np.sqrt(light[known])
    coefficients = soft_fit(basis, logs[known], weights=weights, least_scatter=0.05)
    return start * np.exp(chebvander(scaled[1], degree) @ coefficients)

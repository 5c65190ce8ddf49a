# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Measure and fit the centres of detected orders. Used by the tracer."""

from itertools import pairwise

import numpy as np
from numpy.polynomial.chebyshev import chebvander, chebvander2d

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._numeric.ranges import best_range
from ccdproc_echelle._numeric.robust import soft_fit, weighted_fit
from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA, scatter_about_zero, shared_scatter
from ccdproc_echelle.orders.lit import around, in_middle, lit_sections
from ccdproc_echelle.orders.neighbours import WIDTH_TOLERANCE
from ccdproc_echelle.orders.paths import straightened, unit
from ccdproc_echelle.orders.patterns import row_pattern
from ccdproc_echelle.orders.sections import Sections, lower_envelope, means_of
from ccdproc_echelle.orders.slices import bridged

__all__ = ["traces_of"]

# Number of sections of the dispersion axis in which orders are measured.
_N_MEASURED = 100

# Where an order is too faint to be measured in one section, these wider sections are tried.
_WIDENINGS = (1, 3, 9)

# Largest relative change of the level from the middle of an order to its edge.
_STEEPEST = 0.4

# A slit is lit alike at all wavelengths. A slope across an order that varies along it by this
# fraction of itself is due to the shape of a profile that is no slit's, and is ignored.
_UNSTEADY = 0.7

# A centre measured where an order has less than this fraction of its usual light counts for less:
# any pattern or ghost beside the order shifts it more, the fainter the order is.
_FAINT = 0.2

# A centre between two edges counts for less where their distance differs from what is usual by more
# than this many pixels, and by more than it scatters: one of them is not where the light falls.
_ODD_WIDTH = 0.5

# Weight of the path, in units of a measurement, where an order was not measured: between
# measurements, and beyond them, where the path may lead astray.
_MODEL_WEIGHT, _WEIGHT_BEYOND = 0.03, 1e-4

# Farther from the trace than this, in pixels, the path does lead astray.
_ASTRAY = 3.0

# An order ends where the centres found are farther from the trace than this, in pixels: they are
# those of something else.
_ELSEWHERE = 1.0

# Neighbouring traces closer than this, in units of the width of an order, follow the same light.
_SAME = 0.5


def traces_of(pixels, slices, paths, orders, window, n_pixels, degree, min_signal_to_noise):
    """
    Order centre at every dispersion pixel, (n_orders, n_pixels), and residuals, (n_orders, 2).

    The residuals are given as their RMS, and the RMS of what neighbouring ones share.
    """
    sections = Sections(straightened(slices, paths), _N_MEASURED)
    starts = sections.starts
    faintest = min_signal_to_noise * row_pattern(slices, paths, orders)
    lower, upper, trust, dark = _measured_edges(
        sections, orders, window, min_signal_to_noise, faintest
    )
    labels = np.array([order["label"] for order in orders])
    middles = np.add.reduceat(pixels, starts[:-1]) / np.diff(starts)
    section_paths = means_of(paths, starts)
    # Paths converge: the middle of two labels is not the middle of the two positions.
    course = _positions(np.zeros_like(lower) + labels[:, None], section_paths)
    lower, upper = (_positions(labels[:, None] + edge, section_paths) for edge in (lower, upper))
    widths = _smooth_widths(labels, middles, upper - lower, n_pixels, orders)
    trust = trust * _agreement(upper - lower - widths)
    centers = 0.5 * (lower + upper)
    centers = np.where(np.isnan(lower), upper - 0.5 * widths, centers)
    centers = np.where(np.isnan(upper), lower + 0.5 * widths, centers)
    traces, residuals, extents = [], [], []
    for path, places, width, weights, unlit in zip(
        course, centers, widths, trust, dark, strict=True
    ):
        known = np.isfinite(places)
        if known.sum() < 3:
            continue
        places = np.where(known, places, path + np.median((places - path)[known]))
        trace, known, *scatter = _fitted(middles, places, known, weights, n_pixels, degree)
        border = _at_border(trace, np.median(width) / 2, slices.shape[1])
        border &= np.interp(np.arange(n_pixels), middles, unlit) < 0.5
        inside = _followed(middles, known, trace, border)
        inside &= (trace >= -0.5) & (trace <= slices.shape[1] - 0.5)
        if inside.sum() > degree:
            traces.append(np.where(inside, trace, np.nan))
            residuals.append(scatter)
            extents.append(np.median(width))
    traces, residuals = np.array(traces), np.array(residuals)
    once = _once(traces, residuals, np.array(extents))
    return traces[once], residuals[once]


def _once(traces, residuals, widths) -> np.ndarray:
    """Without the worse one of two neighbouring traces that follow the same light."""
    once = np.ones(len(traces), dtype=bool)
    if len(traces) > 1:
        apart = finite_median(np.abs(np.diff(traces, axis=0)))
        for lower in np.flatnonzero(apart < _SAME * widths[1:]):
            once[lower + residuals[lower : lower + 2, 0].argmax()] = False
    return once


def _positions(labels, paths) -> np.ndarray:
    """Detector positions of labels, (n_orders, n_sections); NaN where undefined."""
    index = np.arange(paths.shape[1])
    return np.array([
        np.interp(at, index, path) for at, path in zip(labels.T, paths, strict=True)
    ]).T


def _measured_edges(sections, orders, window, min_signal_to_noise, faintest):
    """
    Half-maximum edges relative to the label of each order in each section, their weights, and
    whether the order has no light there.

    All have shape (n_orders, n_sections). The edges are NaN where the order is too faint or the
    edge is not on the detector.
    """
    mean, noise = sections.means()
    lit, contrast = np.array([
        lit_sections(mean, noise, order["label"], order["width"] / 2, faintest) for order in orders
    ]).swapaxes(0, 1)
    lit = lit.astype(bool)
    edges = np.full((2, *lit.shape), np.nan)
    valleys = _valleys(mean, [order["label"] for order in orders])
    for widening in _WIDENINGS:
        missing = np.isnan(edges).all(axis=0)
        if not missing.any():
            break
        mean, noise = sections.means(widening)
        light = mean - lower_envelope(mean, window)
        for k in np.flatnonzero(missing.any(axis=1)):
            label, half = orders[k]["label"], orders[k]["width"] / 2
            found = _edges_of_order(light, noise, label, half, min_signal_to_noise, valleys[k])
            edges[:, k, missing[k]] = found[:, missing[k]]
    edges[:, ~lit] = np.nan
    return *edges, _trust(contrast, lit), np.isfinite(contrast) & ~lit


def _trust(contrast, lit) -> np.ndarray:
    """Weight of each section of each order, (n_orders, n_sections), below 1 where it is faint."""
    usual = finite_median(np.where(lit, contrast, np.nan))[:, None]
    share = np.nan_to_num(contrast / (_FAINT * np.where(usual > 0, usual, np.inf)))
    return np.clip(share, 0.1 * _WEIGHT_BEYOND, 1) ** 2


def _agreement(excess) -> np.ndarray:
    """Weight of the centres midway between two edges that are too far apart by an excess."""
    excess = excess - finite_median(excess)[:, None]
    scatter = MAD_TO_SIGMA * finite_median(np.abs(excess))[:, None]
    odd = np.nan_to_num(excess / np.maximum(3 * np.nan_to_num(scatter), _ODD_WIDTH))
    return 1 / (1 + odd**2)


def _valleys(profiles, labels) -> np.ndarray:
    """Distance of each order from the darkest place before its neighbours, (n_orders, 2)."""
    profile = np.nan_to_num(finite_median(profiles.T), nan=np.inf)
    valleys = np.full((len(labels), 2), np.inf)
    for k, (low, high) in enumerate(pairwise(labels)):
        darkest = int(low) + np.argmin(profile[int(low) : int(high) + 2])
        valleys[k, 1], valleys[k + 1, 0] = darkest - low, high - darkest
    return valleys


def _edges_of_order(light, noise, label, half, min_signal_to_noise, valleys) -> np.ndarray:
    """
    Both edges of one order relative to its label, (2, n_sections).

    An edge that lies beyond the valley before the next order is unknown. If both do, the valleys
    are the edges.
    """
    light, noise, away = around(light, noise, label, half)
    level, slope, sigma = _plateau(light, noise, away, half)
    level[~(level > 0.5 * min_signal_to_noise * sigma)] = np.nan
    edges = []
    for side, valley in zip((-1, 1), valleys, strict=True):
        out = side * away
        outward = np.flatnonzero((out > 0.4 * half - 0.5) & (out < max(valley, half) + 1))[::side]
        at_edge = level * (1 + side * slope * half)
        edges.append(side * _first_fall(light[:, outward] / at_edge[:, None], out[outward]))
    edges = np.array(edges)
    blended = np.isnan(edges).all(axis=0) & np.isfinite(level)
    if np.isfinite(valleys).all():
        edges[:, blended] = np.reshape([-valleys[0], valleys[1]], (2, 1))
    width = edges[1] - edges[0]
    strange = (width < 2 * half / WIDTH_TOLERANCE) | (width > 2 * half * WIDTH_TOLERANCE)
    edges[:, strange] = np.nan
    return edges


def _plateau(light, noise, away, half):
    """
    Level in the middle of an order in each section, and the noise of one sample there.

    Also returns the slope across the middle, as a fraction of the level per pixel: the slope of
    the slit illumination, a single value for the whole order, and less the more it varies along it.
    """
    middle = in_middle(away, half)
    light, noise, away = light[:, middle], noise[:, middle], away[middle]
    seen = np.isfinite(light)
    count = np.maximum(seen.sum(axis=1), 1)
    sigma = np.sqrt(np.where(seen, noise**2, 0).sum(axis=1) / count)
    mean = np.where(seen, light, 0).sum(axis=1) / count
    slope = 0.0
    whole = seen.all(axis=1) & (mean > 3 * sigma)
    if whole.any() and len(away) > 1:
        slopes = (light[whole] @ away) / (away @ away) / mean[whole]
        slope = np.clip(_steady(slopes), -_STEEPEST / half, _STEEPEST / half)
    place = (seen * away).sum(axis=1) / count
    mean[seen.sum(axis=1) < 0.3 * len(away)] = np.nan
    return mean / (1 + slope * place), slope, sigma


def _steady(slopes: np.ndarray) -> float:
    """Median of the slopes along an order, reduced as most of them vary by more than noise."""
    slope = np.median(slopes)
    off = slopes - slope
    # Noise differs between neighbours; slopes far off in a few sections are those of other light.
    shared = np.median(off[1:] * off[:-1]) if len(off) > 1 else 0.0
    varying = MAD_TO_SIGMA * np.sqrt(max(0, shared))
    return slope * max(0, 1 - (varying / (_UNSTEADY * slope)) ** 2) if slope else 0.0


def _first_fall(relative: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Distance at which profiles first fall through one half; NaN if they never do."""
    below = relative <= 0.5
    last = np.clip(below.argmax(axis=1), 1, relative.shape[1] - 1)[:, None]
    before, after = (np.take_along_axis(relative, last - k, axis=1)[:, 0] for k in (1, 0))
    unbroken = np.cumsum(np.isnan(relative), axis=1)
    fallen = below.any(axis=1) & (np.take_along_axis(unbroken, last, axis=1)[:, 0] == 0)
    fallen &= before > after
    drop = np.where(fallen, before - after, 1)
    at = distance[last[:, 0] - 1] + (before - 0.5) / drop * (distance[1] - distance[0])
    return np.where(fallen, at, np.nan)


def _smooth_widths(labels, pixels, widths, n_pixels, orders):
    """Width of each order in each section, as a smooth function of both."""
    known = np.isfinite(widths)
    expected = np.array([order["width"] for order in orders])[:, None] + np.zeros(len(pixels))
    if known.sum() < 30:
        return expected
    whole = np.sort(labels[known.any(axis=1)])
    low, high = whole[[0, -1]]
    # An order at the border of the detector has no width of its own and no neighbour beyond it.
    beyond = np.median(np.diff(whole)) if len(whole) > 3 else 0
    inside = np.clip(labels, low - beyond, high + beyond)
    place = 2 * (inside - low) / max(high - low, 1) - 1
    often = known.sum(axis=1) > 5
    degrees = (min(2, often.sum() // 3), 2)
    place, pixel = np.broadcast_arrays(place[:, None], unit(pixels, n_pixels))
    basis = chebvander2d(place, pixel, degrees)
    smooth = basis @ soft_fit(basis[known], widths[known], least_scatter=0.01)
    # What the fit misses on an order, it misses on the next one as well, if that is cut.
    missed = np.where(often, finite_median(widths - smooth), np.nan)
    return smooth + np.where(often, 0, np.nan_to_num(bridged(missed)))[:, None]


def _fitted(middles, places, known, trust, n_pixels, degree):
    """
    Fit a polynomial to the measured centres, constrained by the path where there are none.

    Returns the trace, where it was measured, the RMS of the residuals, and the RMS of what
    neighbouring ones share.
    """
    basis = chebvander(unit(middles, n_pixels), degree)
    index, measured = np.arange(len(known)), np.flatnonzero(known)
    between = (index > measured[0]) & (index < measured[-1])
    model = np.where(between, _MODEL_WEIGHT, _WEIGHT_BEYOND)
    weights = np.where(known, trust, model)
    for _ in range(10):
        coefficients = weighted_fit(basis, places, weights)
        off = np.abs(places - basis @ coefficients)
        scatter = max(scatter_about_zero(off[known]), 1e-3)
        soft = trust * (off < 5 * scatter) / (1 + (off / (3 * scatter)) ** 2)
        weights = np.where(known, soft, model / (1 + (off / _ASTRAY) ** 2))
    used = known & (off < 5 * scatter)
    trace = chebvander(unit(np.arange(n_pixels), n_pixels), degree) @ coefficients
    residuals = np.where(used, places - basis @ coefficients, np.nan)
    known = known & _agreeing(known, off < max(_ELSEWHERE, 5 * scatter))
    return trace, known, np.sqrt(np.nanmean(residuals**2)), shared_scatter(residuals)


def _agreeing(known, near) -> np.ndarray:
    """Between the ends of the part in which most measured centres lie near the trace."""
    found = best_range(np.where(known, np.where(near, 1.0, -1.0), 0.0))
    index = np.arange(len(known))
    return (index >= found[0]) & (index <= found[1])


def _at_border(trace, half, n_cross) -> np.ndarray:
    """Where the border of the detector cuts into an order."""
    return (trace < half + 2) | (trace > n_cross - 3 - half)


def _followed(middles, known, trace, border) -> np.ndarray:
    """Where an order was followed: between its outermost measured sections, or along a border."""
    every = np.arange(len(trace))
    step = np.diff(middles).mean()
    first, last = middles[known][[0, -1]]
    # The ends of the detector are less than a section away from the last section.
    low = 0 if first - middles[0] < 2.5 * step else first - 0.5 * step
    high = len(trace) - 1 if middles[-1] - last < 2.5 * step else last + 0.5 * step
    inside = (every >= low) & (every <= high)
    first, last = np.flatnonzero(inside)[[0, -1]]
    inside[:first] = np.logical_and.accumulate(border[:first][::-1])[::-1]
    inside[last + 1 :] = np.logical_and.accumulate(border[last + 1 :])
    return inside

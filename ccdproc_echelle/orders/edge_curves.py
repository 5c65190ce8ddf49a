# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Smooth curves through the points measured on order edges."""

import numpy as np
from astropy import units as u
from numpy.polynomial.chebyshev import chebvander, chebvander2d

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._numeric.robust import clipped_fit, weighted_fit
from ccdproc_echelle._numeric.spread import shared_scatter
from ccdproc_echelle.orders.neighbours import WIDTH_TOLERANCE
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["inliers", "order_bases", "with_fitted_edges"]

# Weight of the model where nothing was measured, in units of a measurement: enough to constrain the
# polynomial in a gap, too little to disturb it where there are measurements.
_MODEL_WEIGHT = 0.1

# Uncertainty in pixels of the widths predicted by the smooth function of detector position; widths
# measured with larger errors are pulled towards it.
_WIDTH_UNCERTAINTY = 0.25

# Residuals below a thousandth of a pixel are never outliers, however well the others fit.
_LEAST_SCATTER = 1e-3


def order_bases(orders, pixels, degree) -> np.ndarray:
    """
    Chebyshev basis of each order.

    Parameters
    ----------
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders.
    pixels : array, shape (n_pixels,)
        Dispersion pixels at which it is evaluated.
    degree : int
        Its degree, unless the given centres have a higher one.

    Returns
    -------
    array, shape (n_orders, n_pixels, n_terms)
    """
    table = orders.table
    n_terms = np.atleast_2d(table["center"]).shape[1]
    low, high = (u.Quantity(table[n], u.pix).value[:, None] for n in ("pixel_min", "pixel_max"))
    degree = max(degree, n_terms - 1)  # high enough to follow any wiggle of the given centres
    return chebvander((2 * pixels - low - high) / (high - low), degree)


def with_fitted_edges(
    orders, pixels, edges, errors, degrees, clip, profile
) -> tuple[EchelleOrderTable, np.ndarray]:
    """
    Fit edges to the positions measured in slices.

    Parameters
    ----------
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The order centres.
    pixels : array, shape (n_slices,)
        Dispersion pixels of the slices.
    edges, errors : array, shape (2, n_orders, n_slices)
        Positions of the lower and upper edges and their standard deviations, NaN where missing.
    degrees : tuple of int
        Degree along an order, and from order to order for what was not measured.
    clip : tuple
        Threshold in standard deviations and number of iterations of the outlier rejection.
    profile : str
        What the orders are images of, for the column ``profile``.

    Returns
    -------
    orders : `~ccdproc_echelle.EchelleOrderTable`
        With edges, and columns that tell where and how well they were measured.
    shared : array, shape (n_orders,)
        Scatter about the edges, in pixels, that neighbouring slices share.
    """
    degree, order_degree = degrees
    n_cross = orders.shape[1 - orders.dispersion_axis]
    table = orders.table
    given = np.atleast_2d(u.Quantity(table["center"], u.pix).value)
    bases = order_bases(orders, pixels, degree)
    centers = orders.center(pixels)
    offsets = edges - centers
    measured = np.isfinite(offsets)
    precision = _precision(np.where(measured, errors, np.nan))
    places = centers, bases, pixels, n_cross
    filled, weights = _filled(offsets, precision, *places, order_degree, clip)
    shared = np.empty((2, len(orders)))
    for side, name in enumerate(("lower", "upper")):
        coefficients = np.array([
            weighted_fit(*order) for order in zip(bases, filled[side], weights, strict=True)
        ])
        residuals = offsets[side] - np.einsum("osk,ok->os", bases, coefficients)
        table[name] = _sum_of_series(given, coefficients) * u.pix
        table[f"{name}_rms"] = _rms(residuals) * u.pix
        shared[side] = shared_scatter(residuals)
        first, last = _measured_range(measured[side], pixels, orders.shape[orders.dispersion_axis])
        table[f"{name}_measured_min"] = first * u.pix
        table[f"{name}_measured_max"] = last * u.pix
    fractions = _measured_fractions(EchelleOrderTable(table), pixels, n_cross, measured)
    table["lower_measured"], table["upper_measured"] = fractions
    # A column of an earlier measurement may be too narrow for the word.
    table["profile"] = np.full(len(orders), profile)
    return EchelleOrderTable(table), shared.max(axis=0)


def _clipped(basis, values, clip) -> tuple[np.ndarray, np.ndarray]:
    sigma, maxiters = clip
    return clipped_fit(
        basis, values, sigma=sigma, maxiters=maxiters, least_scatter=_LEAST_SCATTER
    )


def inliers(offsets, bases, clip) -> np.ndarray:
    """
    Find the offsets that are not outliers; edges with too few points to judge are dropped.

    Parameters
    ----------
    offsets : array, shape (2, n_orders, n_slices)
        Positions of the lower and upper edges relative to the order centres, NaN where missing.
    bases : array, shape (n_orders, n_slices, n_terms)
        Returned by `order_bases`.
    clip : tuple
        Threshold in standard deviations and number of iterations.

    Returns
    -------
    bool array, shape (2, n_orders, n_slices)
    """
    used = np.zeros(offsets.shape, dtype=bool)
    n_slices, n_terms = bases.shape[1:]
    offsets = np.where(_of_usual_width(offsets, max(n_terms, n_slices // 10)), offsets, np.nan)
    for edge in np.argwhere(np.isfinite(offsets).sum(axis=2) > max(n_terms, n_slices // 10)):
        side, order = edge
        used[side, order] = _clipped(bases[order], offsets[side, order], clip)[1]
    return used


def _of_usual_width(offsets, enough: int) -> np.ndarray:
    """
    Where the distance of the edges is the usual one of the orders, (n_orders, n_slices).

    If hardly any slice of an order qualifies, all of them count. Missing edges count as well.
    """
    widths = offsets[1] - offsets[0]
    typical = finite_median(finite_median(widths)[None])[0]
    ratios = np.maximum(widths, _LEAST_SCATTER) / typical
    usual = np.abs(np.log(ratios)) < np.log(WIDTH_TOLERANCE)
    known = usual.sum(axis=1, keepdims=True) > enough
    return usual | ~known | np.isnan(widths)


def _precision(errors: np.ndarray) -> np.ndarray:
    """
    Weight of each slice in the fits of both edges of its order, (n_orders, n_slices).

    1 for a typical slice, and at most 2, since pixels respond unevenly.
    """
    typical = finite_median(errors)[..., None]
    ratios = finite_median(np.moveaxis(errors / np.where(typical > 0, typical, np.nan), 0, -1))
    return np.where(np.isfinite(ratios), 2 / (1 + ratios**2), 1.0)


def _filled(offsets, precision, centers, bases, pixels, n_cross, order_degree, clip):
    """
    Offsets of both edges in all slices, and their weights in the fit of the edges.

    A missing edge is placed at the width of the order from the other one; if both are missing, at
    half that width from the middle of the order. In a noisy order the measured edges are pulled
    towards this model, to the extent that the model is the more precise of the two.
    """
    along = np.broadcast_to(2 * pixels / max(pixels[-1], 1) - 1, centers.shape)
    position = 2 * centers / n_cross - 1, along
    lower, upper = offsets
    widths = _smooth_surface(upper - lower, position, order_degree, clip)
    lower, upper = (np.where(np.isnan(lower), upper - widths, lower),
                    np.where(np.isnan(upper), lower + widths, upper))
    seen = np.isfinite(lower)
    middles = 0.5 * (lower + upper)
    default = _smooth_surface(middles, position, order_degree, clip)
    trust = np.full(seen.shape, _MODEL_WEIGHT)
    for order in np.flatnonzero(seen.any(axis=1)):
        known = seen[order]
        fit = bases[order] @ weighted_fit(bases[order], middles[order], known * precision[order])
        default[order] = np.interp(pixels, pixels[known], fit[known])
        off = (middles[order] - fit)[known]
        variance = 2 * np.average(off**2, weights=precision[order, known])
        trust[order, known] = variance / _WIDTH_UNCERTAINTY**2
    model = np.stack([default - widths / 2, default + widths / 2])
    measured = np.where(seen, np.stack([lower, upper]), 0)
    counts = seen * precision
    filled = (counts * measured + trust * model) / (counts + trust)
    usable = np.isfinite(filled).all(axis=0)
    return np.nan_to_num(filled), (counts + trust) * usable


def _smooth_surface(values, position, order_degree, clip) -> np.ndarray:
    """
    Smooth function of the position on the detector, with a separate constant for each order.

    It is evaluated everywhere, but limited to within a tenth of the range of the fitted values:
    beyond that an extrapolation is not trustworthy.
    """
    known = np.isfinite(values)
    degree = min(order_degree, known.any(axis=1).sum() - 1)
    basis = chebvander2d(*position, (degree, 2))
    coefficients, used = _clipped(basis[known], values[known], clip)
    surface = basis @ coefficients
    low, high = values[known][used].min(), values[known][used].max()
    margin = 0.1 * (high - low)
    for order in np.flatnonzero(known.any(axis=1)):
        surface[order] += np.median((values - surface)[order, known[order]])
    return np.clip(surface, low - margin, high + margin)


def _sum_of_series(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Coefficients of the sum of two series of any degrees, one series per row."""
    total = np.zeros((len(first), max(first.shape[1], second.shape[1])))
    total[:, : first.shape[1]] += first
    total[:, : second.shape[1]] += second
    return total


def _rms(residuals: np.ndarray) -> np.ndarray:
    """Root mean square of the finite values of each row; NaN where there are none."""
    finite = np.isfinite(residuals)
    total = np.where(finite, residuals**2, 0).sum(axis=1)
    count = finite.sum(axis=1)
    return np.where(count > 0, np.sqrt(total / np.maximum(count, 1)), np.nan)


def _measured_range(measured, pixels, n_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Start of the first and end of the last slice with a measurement; NaN if there are none."""
    seen = measured.any(axis=1)
    first, last = measured.argmax(axis=1), len(pixels) - 1 - measured[:, ::-1].argmax(axis=1)
    ends = np.concatenate([[-0.5], 0.5 * (pixels[1:] + pixels[:-1]), [n_pixels - 0.5]])
    return np.where(seen, ends[first], np.nan), np.where(seen, ends[last + 1], np.nan)


def _measured_fractions(orders, pixels, n_cross, measured) -> np.ndarray:
    """Fraction of each edge on the detector that was measured; NaN if none of it is on it."""
    lower, upper = orders.lower(pixels), orders.upper(pixels)
    room = 0.25 * (upper - lower)  # for the fall to the background before the detector ends
    positions = np.stack([lower, upper])
    visible = (positions > room) & (positions < n_cross - 1 - room)
    with np.errstate(invalid="ignore"):
        return (measured & visible).sum(axis=2) / visible.sum(axis=2)

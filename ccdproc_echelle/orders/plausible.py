# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plausibility checks of orders: their edges, their widths, and where they end."""

import numpy as np
from astropy.nddata import CCDData
from numpy.polynomial.chebyshev import chebvander

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._numeric.robust import soft_fit
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.slices import as_raster, places_of
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = [
    "filler_of", "warn_of_cut_orders", "warn_of_filled_gaps", "warn_of_strange_edges",
    "width_jumps",
]

# Width deviations from the trend of the other orders larger than this fraction, and larger than
# this many pixels, are suspicious. If more than a third of the orders deviate, the widths are not
# those of a single slit.
_LARGEST_JUMP, _LEAST_PIXELS, _MOST_ORDERS = 0.25, 1.0, 1 / 3

# Along an order, its width may change unlike that of the others by this fraction, and by this many
# pixels, at any of this many places.
_LARGEST_CHANGE, _LEAST_CHANGE, _N_WIDTHS = 0.1, 1.5, 12

# Edges of neighbours touch to within the error of either; an order has at least this width in
# pixels.
_TOUCHING, _NARROWEST = 1.0, 0.5

# Largest RMS distance, in pixels, by which neighbouring points of a credible edge leave the fit.
_WANDERING = 0.75

# Number of dispersion pixels used to judge whether an order continues, and the minimum brightness
# there, relative to the typical brightness of the order.
_LOOK, _LIT = 20, 0.3

# More than this fraction of about so many pixels with one value, which is neither the light of the
# darkest nor of the brightest fraction of the others, have been set to it.
_FILLED, _N_LOOKED_AT, _DARK, _BRIGHT = 0.1, 20_000, 0.1, 0.9


def width_jumps(orders: EchelleOrderTable) -> np.ndarray:
    """
    Relative deviation of the width of each order from that suggested by the other orders.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        Orders with edges.

    Returns
    -------
    float array, shape (n_orders,)
        Relative to the suggested width, positive where the order is wider. The suggested width is a
        smooth function of the position, fitted robustly. NaN for fewer than three orders.
    """
    widths, places = finite_median(orders.upper() - orders.lower()), finite_median(orders.center())
    known = (widths > 0) & np.isfinite(places)
    if known.sum() < 3:
        return np.full(len(widths), np.nan)
    low, high = places[known].min(), places[known].max()
    basis = chebvander(2 * (places - low) / max(high - low, 1) - 1, min(2, (known.sum() - 1) // 3))
    logs = np.log(np.where(known, widths, np.nan))
    start = np.median(logs[known])
    fit = soft_fit(basis[known], logs[known] - start, least_scatter=0.02)
    return widths / np.exp(start + basis @ fit) - 1


def warn_of_strange_edges(orders: EchelleOrderTable, shared: np.ndarray) -> None:
    """
    Warn of orders whose edges are impossible or implausible.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        Orders with edges.
    shared : array, shape (n_orders,)
        Scatter of the measured points about the edges that neighbouring points share.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the edges of an order cross each other or those of a neighbour, an order is much wider or
        narrower than the others suggest, its width changes along it unlike that of the others, or
        its points wander from the fitted edges.
    """
    for strange, what in (
        (_crossing(orders), "the lower edge lies above the upper one"),
        (_overlapping(orders), "the edges reach into the neighbouring order"),
        (_of_another_width(orders), "the width between the edges differs from that of the others"),
        (_of_another_course(orders), "the distance between them changes as in no other order"),
        (shared > _WANDERING, f"measured points wander from them by more than {_WANDERING} pixels"),
    ):
        if strange.any():
            warn(
                f"edges of orders {orders.order_numbers[strange].tolist()} are doubtful: {what}; "
                "inspect them with plot_orders, and correct the order table or drop these orders"
            )


def warn_of_cut_orders(flat: CCDData, orders: EchelleOrderTable) -> None:
    """
    Warn of orders that end on the detector while their light continues.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat on which the orders are where the table has them.
    orders : `EchelleOrderTable`
        Orders with edges.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there are any such orders.
    """
    numbered = zip(orders.order_numbers.tolist(), _curves(orders), strict=True)
    cut = [number for number, order in numbered if _goes_on(flat, orders, *order)]
    if cut:
        warn(
            f"orders {cut} end in the order table while their light continues: the pixels beyond "
            "are treated as inter-order area; extend the range of these orders, or trace them again"
        )


def warn_of_filled_gaps(raster: np.ndarray) -> None:
    """
    Warn if many pixels of a flat have the same value, which is neither dark nor saturated.

    Parameters
    ----------
    raster : array, shape (n_pixels, n_cross)
        The light, NaN where there is none.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the inter-order area was set to a constant.
    """
    value = filler_of(raster)
    if value is not None:
        warn(
            f"{np.mean(raster[np.isfinite(raster)] == value):.0%} of the pixels of the flat have "
            f"the value {value:.6g}: if its inter-order area was set to that, orders and edges "
            "cannot be told from it; use the flat as it was before mask_interorder, or mask these "
            "pixels"
        )


def filler_of(raster: np.ndarray) -> float | None:
    """Value to which many pixels were set, which is neither dark nor saturated, if there is one."""
    light = raster[:: max(1, raster.size // _N_LOOKED_AT)]
    light = light[np.isfinite(light)]
    values, counts = np.unique(light, return_counts=True)
    if len(values) < 2 or counts.max() < _FILLED * len(light):
        return None
    value = values[counts.argmax()]
    dark, bright = np.quantile(light[light != value], (_DARK, _BRIGHT))
    return float(value) if dark < value < bright else None


def _crossing(orders: EchelleOrderTable) -> np.ndarray:
    return (orders.upper() - orders.lower() < _NARROWEST).any(axis=1)


def _overlapping(orders: EchelleOrderTable) -> np.ndarray:
    lower, upper = orders.lower(), orders.upper()
    rank = np.argsort(places_of(orders.center()))
    reach = (upper[rank[:-1]] - lower[rank[1:]] > _TOUCHING).any(axis=1)
    result = np.zeros(len(rank), dtype=bool)
    result[rank[:-1][reach]] = result[rank[1:][reach]] = True
    return result


def _of_another_width(orders: EchelleOrderTable) -> np.ndarray:
    jumps = width_jumps(orders)
    widths = finite_median(orders.upper() - orders.lower())
    strange = np.abs(jumps) > np.maximum(_LARGEST_JUMP, _LEAST_PIXELS / widths)
    return strange & (strange.mean() <= _MOST_ORDERS)


def _of_another_course(orders: EchelleOrderTable) -> np.ndarray:
    n_pixels = orders.shape[orders.dispersion_axis]
    places = np.linspace(0, n_pixels - 1, _N_WIDTHS).astype(int)
    widths = orders.upper(places) - orders.lower(places)
    usual = finite_median(widths)[:, None]
    course = widths / usual
    change = np.abs(course - finite_median(course.T))
    strange = (change > np.maximum(_LARGEST_CHANGE, _LEAST_CHANGE / usual)).any(axis=1)
    return strange & (strange.mean() <= _MOST_ORDERS)


def _curves(orders: EchelleOrderTable):
    return zip(orders.center(), orders.lower(), orders.upper(), strict=True)


def _goes_on(flat, orders, center, lower, upper) -> bool:
    """Whether the light of an order continues beyond one of its ends."""
    valid = np.flatnonzero(np.isfinite(center))
    width, usual = np.median((upper - lower)[valid]), None
    for end, step in ((valid[0], -1), (valid[-1], 1)):
        beyond = end + step * np.arange(1, _LOOK + 1)
        if not 0 <= beyond[-1] < len(center) or len(valid) < 2 * _LOOK:
            continue
        slope = (center[end] - center[end - step * _LOOK]) / _LOOK
        path = center[end] + slope * np.arange(1, _LOOK + 1)
        n_cross = orders.shape[1 - orders.dispersion_axis]
        if path.min() < width / 2 or path.max() > n_cross - 1 - width / 2:
            continue
        if usual is None:
            some = valid[:: max(1, len(valid) // 100)]
            usual = _contrast(flat, orders.dispersion_axis, some, center[some], width)
        there = _contrast(flat, orders.dispersion_axis, beyond, path, width)
        if there > _LIT * usual > 0:
            return True
    return False


def _contrast(flat, dispersion_axis, columns, centers, width) -> float:
    """Light in the middle of an order minus that of the darkest place beside it."""
    raster = as_raster(flat, dispersion_axis, lines=columns)
    reach = int(np.ceil(width))
    rows = np.clip(np.rint(centers).astype(int)[:, None] + np.arange(-reach, reach + 1),
                   0, raster.shape[1] - 1)
    light = finite_median(raster[np.arange(len(columns))[:, None], rows].T)
    return finite_median(light[reach - reach // 4 : reach + reach // 4 + 1]) - np.nanmin(light)

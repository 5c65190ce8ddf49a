# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whether orders can be as they were found: their edges, their widths, and where they end."""

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from numpy.polynomial.chebyshev import chebvander

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._numeric.robust import soft_fit
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.slices import as_raster
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["warn_of_cut_orders", "warn_of_strange_edges", "width_jumps"]

# An order is of another width than the others suggest from this part of it on, and from so many
# pixels. Where more than a third of the orders are, the widths are not those of one slit.
_LARGEST_JUMP, _LEAST_PIXELS, _MOST_ORDERS = 0.25, 1.0, 1 / 3

# Edges of neighbours touch within the error of either; an order is at least so many pixels wide.
_TOUCHING, _NARROWEST = 1.0, 0.5

# Points of an edge scatter by so many pixels about a fit to be believed, root mean square.
_SCATTERED = 1.5

# Dispersion pixels on which it is judged whether an order goes on, and how bright it is there, in
# units of its usual brightness.
_LOOK, _LIT = 20, 0.3


def width_jumps(orders: EchelleOrderTable) -> np.ndarray:
    """
    By which part the width of each order differs from what the other orders suggest.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        Orders with edges.

    Returns
    -------
    float array, shape (n_orders,)
        Relative to the width suggested, positive where the order is wider. The suggestion is a
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


def warn_of_strange_edges(orders: EchelleOrderTable) -> None:
    """
    Name the orders whose edges cannot be, or hardly.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        Orders with edges.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the edges of an order cross, or those of two orders, an order is much wider or narrower
        than the others suggest, or its points scatter too far about the fitted edges.
    """
    for strange, what in (
        (_crossing(orders), "the lower edge lies above the upper one"),
        (_overlapping(orders), "the edges reach into the neighbouring order"),
        (_of_another_width(orders), "the width between the edges is not what the others suggest"),
        (_scattered(orders), f"measured points scatter by more than {_SCATTERED} px about them"),
    ):
        if strange.any():
            warn(
                f"edges of orders {orders.order_numbers[strange].tolist()} are doubtful: {what}; "
                "look at them with plot_edges, and correct the order table or leave these out"
            )


def warn_of_cut_orders(flat: CCDData, orders: EchelleOrderTable) -> None:
    """
    Name the orders that end, on the detector, where their light goes on.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat on which the orders are where the table has them.
    orders : `EchelleOrderTable`
        Orders with edges.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there are any.
    """
    cut = [number for number, order in zip(orders.order_numbers.tolist(), _curves(orders),
                                           strict=True) if _goes_on(flat, orders, *order)]
    if cut:
        warn(
            f"orders {cut} end in the order table where their light goes on: the pixels beyond are "
            "taken for inter-order area; extend the range of these orders, or trace them anew"
        )


def _crossing(orders: EchelleOrderTable) -> np.ndarray:
    return (orders.upper() - orders.lower() < _NARROWEST).any(axis=1)


def _overlapping(orders: EchelleOrderTable) -> np.ndarray:
    lower, upper = orders.lower(), orders.upper()
    rank = np.argsort(np.nan_to_num(finite_median(orders.center()), nan=np.inf))
    reach = (upper[rank[:-1]] - lower[rank[1:]] > _TOUCHING).any(axis=1)
    result = np.zeros(len(rank), dtype=bool)
    result[rank[:-1][reach]] = result[rank[1:][reach]] = True
    return result


def _of_another_width(orders: EchelleOrderTable) -> np.ndarray:
    jumps = width_jumps(orders)
    widths = finite_median(orders.upper() - orders.lower())
    strange = np.abs(jumps) > np.maximum(_LARGEST_JUMP, _LEAST_PIXELS / widths)
    return strange & (strange.mean() <= _MOST_ORDERS)


def _scattered(orders: EchelleOrderTable) -> np.ndarray:
    names = [name for name in ("lower_rms", "upper_rms") if name in orders.table.colnames]
    rms = [u.Quantity(orders.table[name], u.pix).value for name in names]
    return np.any([side > _SCATTERED for side in rms] or np.zeros((1, len(orders))), axis=0)


def _curves(orders: EchelleOrderTable):
    return zip(orders.center(), orders.lower(), orders.upper(), strict=True)


def _goes_on(flat, orders, center, lower, upper) -> bool:
    """Whether the light of an order goes on beyond one of its ends."""
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
    """Light of an order in its middle, less that of the darkest place beside it."""
    raster = as_raster(flat, dispersion_axis, lines=columns)
    reach = int(np.ceil(width))
    rows = np.clip(np.rint(centers).astype(int)[:, None] + np.arange(-reach, reach + 1),
                   0, raster.shape[1] - 1)
    light = finite_median(raster[np.arange(len(columns))[:, None], rows].T)
    return finite_median(light[reach - reach // 4 : reach + reach // 4 + 1]) - np.nanmin(light)

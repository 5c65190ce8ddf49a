# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables of points on order edges."""

import numpy as np
from astropy import units as u
from astropy.table import QTable

__all__ = ["edge_points", "gridded_points"]


def edge_points(orders, pixels, edges, errors, used, profile) -> QTable:
    """
    Table with one row for each element of the arrays, (2, n_orders, n_pixels).

    Parameters
    ----------
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders.
    pixels : array, shape (n_pixels,)
        Dispersion pixels.
    edges, errors, used : array, shape (2, n_orders, n_pixels)
        Positions of the lower and upper edges, their errors, and which of them count.
    profile : str
        What the orders are images of.
    """
    side, order, column = (index.ravel() for index in np.indices(edges.shape))
    return QTable(
        {
            "order": orders.order_numbers[order],
            "edge": np.array(["lower", "upper"])[side],
            "pixel": pixels[column] * u.pix,
            "position": edges.ravel() * u.pix,
            "uncertainty": errors.ravel() * u.pix,
            "used": used.ravel(),
        },
        meta={"shape": orders.shape, "profile": profile},
    )


def gridded_points(points, order_numbers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Dispersion pixels, and used positions at them with errors, both (2, n_orders, n_pixels).

    Parameters
    ----------
    points : `~astropy.table.QTable`
        Returned by `edge_points`; rows may be missing.
    order_numbers : int array, shape (n_orders,)
        The orders, which must include those of the points.
    """
    missing = {"order", "edge", "pixel", "position", "used"}.difference(points.colnames)
    if missing:
        raise ValueError(f"points has no column {sorted(missing)[0]!r}")
    unknown = set(np.asarray(points["order"]).tolist()).difference(order_numbers.tolist())
    if unknown:
        raise ValueError(f"points has orders {sorted(unknown)}, which are not in the order table")
    pixels, index = np.unique(u.Quantity(points["pixel"], u.pix).value, return_inverse=True)
    rank = np.argsort(order_numbers)
    order = rank[np.searchsorted(order_numbers, points["order"], sorter=rank)]
    side = (np.asarray(points["edge"]) == "upper").astype(int)
    edges, errors = np.full((2, 2, len(order_numbers), len(pixels)), np.nan)
    position = u.Quantity(points["position"], u.pix).value
    edges[side, order, index] = np.where(points["used"], position, np.nan)
    if "uncertainty" in points.colnames:
        errors[side, order, index] = u.Quantity(points["uncertainty"], u.pix).value
    return pixels, edges, errors

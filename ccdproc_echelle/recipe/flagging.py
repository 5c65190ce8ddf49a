# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is special about each pixel of a master flat, from all that was found out about it."""

import numpy as np

from ccdproc_echelle.combining import Noted
from ccdproc_echelle.light import BadResponse, FlatFlag
from ccdproc_echelle.orders import EchelleOrderTable, poorly_measured

__all__ = ["pixel_flags"]


def pixel_flags(
    mask: np.ndarray,
    orders: EchelleOrderTable,
    bad: BadResponse,
    faint: np.ndarray,
    noted: Noted,
    known_bad: np.ndarray | None = None,
    *,
    margin: float = 0,
) -> np.ndarray:
    """
    The flags of each pixel.

    Parameters
    ----------
    mask : bool array, shape (rows, columns)
        Where no value was left.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders, with the edges that were measured.
    bad : `~ccdproc_echelle.light.BadResponse`
        Dead, low and hot pixels.
    faint : bool array, shape (rows, columns)
        Pixels that are too faint to divide by, as from `~ccdproc_echelle.light.faint_pixels`.
    noted : `~ccdproc_echelle.combining.Noted`
        What was noted of the frames when they were combined.
    known_bad : bool array, shape (rows, columns), or None
        Pixels that were known to be bad, and so have no data; `None` if none were.
    margin : float, optional
        Pixels by which the orders are wider than their edges say.

    Returns
    -------
    int16 array, shape (rows, columns)
        Bits of `~ccdproc_echelle.FlatFlag`.
    """
    coverage, order_index = orders.coverage(), orders.order_index()
    flags = np.zeros(mask.shape, dtype=np.int16)
    known_bad = np.zeros_like(mask) if known_bad is None else known_bad
    for flag, where in (
        (FlatFlag.INTERORDER, orders.order_index(margin) < 0),
        (FlatFlag.PARTLY_COVERED, (coverage > 0) & (coverage < 1)),
        (FlatFlag.OVERLAP, orders.overlap_mask()),
        (FlatFlag.EXTRAPOLATED_EDGE, _beyond_measured_edges(orders, order_index)),
        (FlatFlag.LOW_SENSITIVITY, bad.low),
        (FlatFlag.DEAD, bad.dead),
        (FlatFlag.HOT, bad.hot),
        (FlatFlag.NO_DATA, ~noted.has_data & ~known_bad),
        (FlatFlag.ALL_REJECTED, mask & noted.has_data),
        (FlatFlag.SATURATED, noted.saturated),
        (FlatFlag.FAINT, faint),
        (FlatFlag.KNOWN_BAD, known_bad),
    ):
        flags[where] |= flag
    return flags


def _beyond_measured_edges(orders: EchelleOrderTable, order_index: np.ndarray) -> np.ndarray:
    """Pixels of an order beyond the range in which its edges were measured, or poorly were."""
    table = orders.table
    first = np.fmax(table["lower_measured_min"], table["upper_measured_min"]).value
    last = np.fmin(table["lower_measured_max"], table["upper_measured_max"]).value
    first[poorly_measured(orders)] = np.inf
    pixels = np.arange(orders.shape[orders.dispersion_axis])
    if orders.dispersion_axis == 0:
        pixels = pixels[:, None]
    beyond = ~((pixels >= first[order_index]) & (pixels <= last[order_index]))
    return (order_index >= 0) & beyond

# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Set the flags of the pixels of a master flat."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._tasks import ahead
from ccdproc_echelle.combining import Noted
from ccdproc_echelle.light import FlatFlag, faint_pixels, find_bad_response
from ccdproc_echelle.orders import EchelleOrderTable, poorly_measured
from ccdproc_echelle.recipe.scattered import lit_part

__all__ = ["pixel_flags"]

_log = logging.getLogger(__name__)


def pixel_flags(
    flat: CCDData,
    orders: EchelleOrderTable,
    noted: Noted,
    known_bad: np.ndarray | None,
    unlit: np.ndarray | None,
    *,
    margin: float,
    min_signal_to_noise: float,
    sensitivity_keywords: Mapping[str, Any],
) -> np.ndarray:
    """
    Set the flags of each pixel.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`, shape (rows, columns)
        The combined flat, masked where no value remained.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders, with measured edges.
    noted : `~ccdproc_echelle.combining.Noted`
        What was recorded about the frames while they were combined.
    known_bad : bool array, shape (rows, columns), or None
        Known bad pixels, which therefore have no data; `None` if there are none.
    unlit : bool array, shape (rows, columns), or None
        Borders of the detector without light, which is all too faint; `None` if there are none.
    margin : float
        Number of pixels by which the orders extend beyond their edges.
    min_signal_to_noise : float
        Signal-to-noise ratio below which a pixel is too faint; see
        `~ccdproc_echelle.light.faint_pixels`.
    sensitivity_keywords : dict
        Keywords of `~ccdproc_echelle.light.find_bad_response`.

    Returns
    -------
    int16 array, shape (rows, columns)
        Bits of `~ccdproc_echelle.FlatFlag`.
    """
    others = partial(
        _flags_beside_response, flat, orders, noted, known_bad, unlit, margin, min_signal_to_noise
    )
    with ahead(others) as found_beside:
        bad = find_bad_response(lit_part(flat, unlit), orders, **sensitivity_keywords)
    _log.info("%d dead, %d low, %d hot pixels", *(np.count_nonzero(kind) for kind in bad))
    found = found_beside()
    found |= {FlatFlag.LOW_SENSITIVITY: bad.low, FlatFlag.DEAD: bad.dead, FlatFlag.HOT: bad.hot}
    flags = np.zeros(flat.shape, dtype=np.int16)
    for flag, pixels in found.items():
        np.bitwise_or(flags, np.int16(flag), out=flags, where=pixels)
    return flags


def _flags_beside_response(
    flat, orders, noted, known_bad, unlit, margin, min_signal_to_noise
) -> dict[FlatFlag, np.ndarray]:
    """Pixels of all flags that do not depend on the pixel response."""
    known_bad = np.zeros_like(flat.mask) if known_bad is None else known_bad
    faint = faint_pixels(flat, orders, min_signal_to_noise=min_signal_to_noise, margin=margin)
    between = orders.order_index(margin) < 0
    return {
        FlatFlag.NO_DATA: ~noted.has_data & ~known_bad,
        FlatFlag.ALL_REJECTED: flat.mask & noted.has_data,
        FlatFlag.SATURATED: noted.saturated,
        FlatFlag.KNOWN_BAD: known_bad,
        FlatFlag.FAINT: faint if unlit is None else faint | (unlit & ~between),
        FlatFlag.INTERORDER: between,
        FlatFlag.OVERLAP: orders.overlap_mask(),
        FlatFlag.PARTLY_COVERED: orders.edge_mask(),
        FlatFlag.EXTRAPOLATED_EDGE: _beyond_measured_edges(orders),
    }


def _beyond_measured_edges(orders: EchelleOrderTable) -> np.ndarray:
    """Pixels of an order beyond the range in which its edges were measured, or measured well."""
    table = orders.table
    first = np.fmax(table["lower_measured_min"], table["upper_measured_min"]).value
    last = np.fmin(table["lower_measured_max"], table["upper_measured_max"]).value
    first[poorly_measured(orders)] = np.inf
    pixels = np.arange(orders.shape[orders.dispersion_axis])
    beyond = ~((pixels >= first[:, None]) & (pixels <= last[:, None]))
    if not beyond.any():
        return np.zeros(orders.shape, dtype=bool)
    beyond = np.vstack([beyond, np.zeros_like(pixels, dtype=bool)])  # index -1: between the orders
    index = orders.order_index()
    index = index if orders.dispersion_axis == 1 else index.T
    found = np.array([beyond[row, pixels] for row in index])
    return found if orders.dispersion_axis == 1 else found.T

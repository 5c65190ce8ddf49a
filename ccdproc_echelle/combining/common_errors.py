# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Errors of the levels that the pixels of a frame share, such as those of a smooth surface."""

from collections.abc import Callable

import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle.combining.ratios import FAINTEST
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["with_common_errors"]


def with_common_errors(
    levels: QTable,
    errors_of: Callable[[np.ndarray], np.ndarray],
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    window: float,
) -> QTable:
    """
    Include errors that the pixels of a frame share in the uncertainties of the levels.

    The uncertainty of a level assumes independent pixels. A smooth surface that was subtracted from
    a frame, however, has the same error in neighbouring pixels.

    Parameters
    ----------
    levels : `~astropy.table.QTable`
        Levels returned by `measure_levels` with the statistic ``"mean"``.
    errors_of : callable
        Function that takes weights, shape (rows, columns), and returns the standard deviations of
        the weighted sums over the surface of each frame, shape (n_frames,).
    flat : `~astropy.nddata.CCDData`
        The master flat.
    orders : `EchelleOrderTable`
        The order centres, on the detector of the flat.
    window : float
        Full width of the window of the inner-order pixels.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with updated ``level_uncertainty`` and, if present, ``order_level_uncertainty``.
        ``pass_uncertainty`` still reflects the noise only.
    """
    levels, unit = levels.copy(), levels["level"].unit
    used = orders.inner_mask(window) & ~flat.mask & (flat.data > FAINTEST)
    weights = np.zeros_like(flat.data)
    weights[used] = 1 / flat.data[used] / np.count_nonzero(used)
    errors = errors_of(weights)
    levels["level_uncertainty"] = np.hypot(levels["level_uncertainty"], errors * unit)
    if "order_level" in levels.colnames:
        order, master = orders.inner_index(window), np.where(used, flat.data, 1)
        chosen = [used & (order == i) for i in range(len(orders))]
        errors = [errors_of(here / max(master[here].sum(dtype=float), 1)) for here in chosen]
        levels["order_level_uncertainty"] = np.hypot(
            levels["order_level_uncertainty"], np.transpose(errors) * unit
        )
    return levels
